//! `approve --reset`: the way out when so many keys are lost that nobody can approve anything any more.
//!
//! Whoever runs it could change the catalog's database by hand; this way takes seven days, in which every command that looks at reality says
//! so and anybody may take it back, and the audit keeps it. Decision: `docs/decisions/0042-lost-approval-keys.md`.

use crate::{
    arguments::{ApproveArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    render::{color, out},
    session, settings,
};
use catalog::Catalog;
use executor::TIME_TO_LIVE;
use model::approval::ResetRequest;

/// What everybody is told while it is asked that the rules end.
pub(crate) async fn warning(catalog: &Catalog) -> Result<Option<String>> {
    let request = catalog.reset_request().await?;
    Ok(request.map(|request| {
        format!(
            "{} {} asked at {} that no signatures are needed any more from {} on: {}\n  if that is wrong: `mainstay approve --cancel-reset --why TEXT`\n",
            color::paint(color::WARN, "!"),
            request.who,
            request.asked_at,
            request.ends_at(),
            request.why
        )
    }))
}

pub(super) async fn run(arguments: &ApproveArguments, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global).unwrap_or_default();
    let catalog = session::catalog_or_fail(global, &policy).await?;
    let why = arguments.why.clone().unwrap_or_default();
    let exit = if arguments.cancel_reset {
        cancel(&catalog, &why).await
    } else {
        reset(&catalog, &why).await
    };
    catalog.close().await;
    exit
}

async fn cancel(catalog: &Catalog, why: &str) -> Result<Exit> {
    if catalog
        .cancel_reset(&settings::who(), why, clock::now())
        .await?
    {
        out::words("Taken back: the rules of approval stay.\n");
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        "mainstay::approve::no-reset",
        "nobody has asked that the rules of approval end",
    ))
}

async fn reset(catalog: &Catalog, why: &str) -> Result<Exit> {
    if catalog.approval_rules().await?.is_none() {
        return Err(Failure::new(
            "mainstay::approve::not-asked",
            "no rules of approval are in force, so nobody asks for signatures",
        ));
    }
    let now = clock::now();
    let asked = ResetRequest {
        asked_at: now,
        who: settings::who(),
        why: why.to_owned(),
    };
    let request = catalog.ask_reset(&asked).await?;
    if now < request.ends_at() {
        return Err(Failure::new(
            "mainstay::approve::reset-waits",
            format!(
                "the rules of approval stay until {}, so that everybody can object: {} asked at {} that they end",
                request.ends_at(),
                request.who,
                request.asked_at
            ),
        )
        .help("give this command again then; `mainstay approve --cancel-reset --why TEXT` takes it back")
        .exit(Exit::NeedsApproval));
    }
    let who = settings::who();
    let lease = catalog
        .acquire_lease("approve --reset", now, TIME_TO_LIVE)
        .await?;
    let done = catalog.complete_reset(&lease, &request, &who, now).await;
    catalog.release(lease).await?;
    if !done? {
        return Err(Failure::new(
            "mainstay::approve::no-reset",
            "the request was taken back meanwhile",
        ));
    }
    out::words(
        "No signatures are asked for any more. The next apply of a policy with `[approval]` puts its rules in force.\n",
    );
    Ok(Exit::Done)
}
