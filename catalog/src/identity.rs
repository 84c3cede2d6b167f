//! What tells one catalog from another: a random word, made with its tables and never changed.
//!
//! A copied file carries the same word; whoever relies on it must also compare the fencing tokens, which go apart then.

use crate::{catalog::Catalog, connection::Transaction, error::CatalogError};

impl Catalog {
    /// The catalog's own identity: 32 hexadecimal digits.
    pub async fn identity(&self) -> Result<String, CatalogError> {
        let mut transaction = self.read("identity").await?;
        read(&mut transaction).await
    }
}

/// The catalog's own identity.
pub(crate) async fn read(transaction: &mut Transaction) -> Result<String, CatalogError> {
    let row = transaction
        .row("SELECT identity FROM identity WHERE id = 1", &[])
        .await?;
    match row {
        Some(row) => row.get(0),
        None => Err(transaction.corrupt("it has no identity")),
    }
}
