//! `explain`: of a key, where its value comes from; of a recovery point, why it is kept and until when.

mod key;
mod point;

use crate::{
    arguments::{ExplainArguments, Global},
    exit::Exit,
    failure::Result,
};

pub(crate) async fn run(arguments: &ExplainArguments, global: &Global) -> Result<Exit> {
    // No key of the language holds a slash, and every id of a point does.
    if arguments.what.contains('/') {
        point::run(arguments, global).await
    } else {
        key::run(&arguments.what, global)
    }
}
