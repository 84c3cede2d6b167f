//! One empty place for a catalog on one of the two databases, gone when dropped.

use crate::server::Server;
use mainstay_catalog::Catalog;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use std::{path::PathBuf, sync::Arc};

/// A place for a catalog.
pub(crate) struct Subject {
    url: String,
    keeper: Keeper,
}

enum Keeper {
    Folder {
        #[expect(dead_code, reason = "removes the folder when dropped")]
        folder: tempfile::TempDir,
    },
    Server(Arc<Server>),
}

impl Subject {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("catalog.db");
        Self {
            url: format!("sqlite://{}", path.display()),
            keeper: Keeper::Folder { folder },
        }
    }

    pub(crate) fn postgres() -> Self {
        let server = Server::shared();
        Self {
            url: server.new_database(),
            keeper: Keeper::Server(server),
        }
    }

    /// Another empty place on the same database.
    pub(crate) fn another(&self) -> Self {
        match &self.keeper {
            Keeper::Folder { .. } => Self::sqlite(),
            Keeper::Server(server) => Self {
                url: server.new_database(),
                keeper: Keeper::Server(Arc::clone(server)),
            },
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite://").map(PathBuf::from)
    }

    pub(crate) async fn open(&self) -> Catalog {
        Catalog::open(&self.url).await.unwrap()
    }

    /// Makes the tables of version 1, as the program of that time did.
    pub(crate) async fn migrate_to_first(&self, sqlite: &'static str, postgres: &'static str) {
        use sqlx::{
            SqlSafeStr as _,
            migrate::{Migration, MigrationType, Migrator},
        };
        let first = |sql: &'static str| {
            let sql = sql.into_sql_str();
            Migrator::with_migrations(vec![Migration::new(
                1,
                "start".into(),
                MigrationType::Simple,
                sql,
                false,
            )])
        };
        if let Some(path) = self.file() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            let mut connection = SqliteConnection::connect(&path.display().to_string())
                .await
                .unwrap();
            first(sqlite).run(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            first(postgres).run(&mut connection).await.unwrap();
        }
    }

    /// Runs a statement past the catalog, as somebody with a database shell would.
    pub(crate) async fn by_hand(&self, sql: &str) -> Result<(), sqlx::Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        if let Some(path) = self.file() {
            let mut connection = SqliteConnection::connect(&path.display().to_string()).await?;
            statement.execute(&mut connection).await?;
        } else {
            let mut connection = PgConnection::connect(&self.url).await?;
            statement.execute(&mut connection).await?;
        }
        Ok(())
    }
}
