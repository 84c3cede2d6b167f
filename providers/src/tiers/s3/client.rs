//! The connection to one bucket: client, full keys, and the store's own clock.
//!
//! Whether a lock has ended is judged by the store's clock, as the store will: the `Date` of its last answer.

use super::{
    config::{Class, S3Config},
    errors,
    marker::StoreFacts,
    sums::Sums,
};
use crate::api::{ObjectClass, ObjectInfo, ObjectKey, ProviderError, Result};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, RequestChecksumCalculation, ResponseChecksumValidation,
        RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
        timeout::TimeoutConfig,
    },
    error::BoxError,
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat},
    types::ChecksumMode,
};
use jiff::Timestamp;
use model::{ByteCount, Disposition, LockOrder};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// S3 takes no longer keys, in bytes (Amazon S3 User Guide, "Naming Amazon S3 objects").
const LONGEST_KEY: usize = 1024;
/// Slower links than this are given up, in bytes a second.
const SLOWEST: u64 = 128 << 10;

/// A bucket, how it is reached, and what is known of its store. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) client: Client,
    pub(super) config: Arc<S3Config>,
    pub(super) prefix: Arc<str>,
    pub(super) facts: StoreFacts,
    pub(super) sums: Sums,
    clock: StoreClock,
}

/// How an object is stored.
#[derive(Debug, Clone)]
pub(super) struct How {
    pub(super) class: Class,
    pub(super) lock: Option<LockOrder>,
    /// Tells this writer's object from everybody else's.
    pub(super) token: String,
}

impl Store {
    /// Builds the client; asks no store. Nothing is known of it yet.
    pub(super) async fn connect(config: Arc<S3Config>, base: &Path) -> Result<Self> {
        let clock = StoreClock::default();
        let settings = config.access().sdk_config(base).await?;
        let settings = Builder::from(&settings)
            .force_path_style(config.path_style())
            // Checksums are named explicitly where the probe found that the store checks them.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .interceptor(clock.clone())
            .build();
        Ok(Self {
            client: Client::from_conf(settings),
            prefix: config.key_prefix().into(),
            config,
            facts: StoreFacts::default(),
            sums: Sums::default(),
            clock,
        })
    }

    /// The same, with what its marker says of it.
    pub(super) fn with_facts(&self, facts: StoreFacts) -> Self {
        Self {
            facts,
            ..self.clone()
        }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.config.bucket
    }

    /// The key as the store knows it.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The key as Mainstay knows it; `None` for what no key can be.
    pub(super) fn relative(&self, full: &str) -> Option<ObjectKey> {
        full.strip_prefix(&*self.prefix).and_then(ObjectKey::new)
    }

    /// Checks that an object may be called this.
    pub(super) fn check_key(&self, key: &ObjectKey) -> Result<()> {
        if is_hidden(key.as_str()) {
            return Err(errors::bad_key(
                key.as_str(),
                "names with a leading dot are kept for what is no copy",
            ));
        }
        if self.full(key.as_str()).len() > LONGEST_KEY {
            return Err(errors::bad_key(
                key.as_str(),
                "with the tier's prefix it is longer than 1024 bytes",
            ));
        }
        Ok(())
    }

    /// For people.
    pub(super) fn place(&self) -> String {
        format!("bucket `{}`, prefix `{}`", self.bucket(), self.prefix)
    }

    /// What the store's clock said in its last answer.
    pub(super) fn now(&self) -> Option<Timestamp> {
        let last = self.clock.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last
    }

    /// How an object of this tier is stored.
    pub(super) fn how(&self, class: ObjectClass, lock: Option<LockOrder>) -> Result<How> {
        Ok(How {
            class: match class {
                ObjectClass::Data => self.config.storage_class,
                ObjectClass::Index => Class::Standard,
            },
            lock,
            token: random_token()?,
        })
    }

    /// Looks at an object; `None`: the store was asked and it is not there.
    pub(super) async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>> {
        let request = self
            .client
            .head_object()
            .bucket(self.bucket())
            .key(self.full(key))
            .checksum_mode(ChecksumMode::Enabled);
        match request.send().await {
            Ok(head) => Ok(Some(head)),
            Err(error) if errors::is_not_found(&error) => Ok(None),
            Err(error) => Err(errors::failed(&format!("look at `{key}`"), &error)),
        }
    }
}

/// Whether a key is no copy: marker, lease, probe.
pub(super) fn is_hidden(key: &str) -> bool {
    key.split('/').any(|segment| segment.starts_with('.'))
}

/// What a look says of an object.
pub(super) fn info(key: ObjectKey, head: &HeadObjectOutput) -> ObjectInfo {
    ObjectInfo {
        key,
        bytes: byte_count(head.content_length()),
        stored_at: head
            .last_modified()
            .map_or(Timestamp::UNIX_EPOCH, from_store),
    }
}

pub(super) fn byte_count(bytes: Option<i64>) -> ByteCount {
    ByteCount(
        bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0),
    )
}

pub(super) fn from_store(time: &DateTime) -> Timestamp {
    let nanoseconds = i32::try_from(time.subsec_nanos()).unwrap_or(0);
    Timestamp::new(time.secs(), nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn to_store(time: Timestamp) -> DateTime {
    DateTime::from_secs(time.as_second())
}

/// Settings for one call that moves so many bytes: the SDK's patience counts from the first byte that is sent.
pub(super) fn patience(bytes: u64) -> Builder {
    Builder::new().timeout_config(
        TimeoutConfig::builder()
            .read_timeout(Duration::from_secs(60 + bytes / SLOWEST))
            .build(),
    )
}

/// 16 random bytes in hexadecimal.
pub(super) fn random_token() -> Result<String> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| {
        ProviderError::new(
            "mainstay::tier::io",
            Disposition::Retry,
            "the system gives no random numbers",
        )
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// Remembers the `Date` of the last answer.
#[derive(Debug, Clone, Default)]
struct StoreClock(Arc<Mutex<Option<Timestamp>>>);

impl Intercept for StoreClock {
    fn name(&self) -> &'static str {
        "StoreClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(from_store(&date));
        }
        Ok(())
    }
}
