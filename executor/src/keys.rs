//! Wraps a fresh data key for every recipient of an object, and opens it again with whatever declared key can.
//!
//! Invariants: an object is sealed for all of its recipients or not at all; a key that fails is named with its reason, and never
//! stands in the way of another that works; no key material reaches an error. Not here: the ring's file (`stored.rs` reads
//! it, `steps/key_file.rs` writes it), other recipients for old points (`rotate.rs`).

use crate::steps::error::{StepError, chain};
use model::{
    Disposition, Encryption, KeyName, KeyRing, RecoveryPointId, WrappedKey, key_ring::SealedObject,
};
use providers::{
    api::{KeyContext, KeyFacts, KeyProvider, KeyState, ProviderError, Result},
    seal::{DataKey, Sealing},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// Declared keys by their names.
pub(crate) type Keys = BTreeMap<KeyName, Arc<dyn KeyProvider>>;

/// A key's own word that a wrapped key is not its, or not this object's.
const CANNOT_OPEN: &str = "mainstay::key::cannot-open";
/// No declared key opens an object.
pub(crate) const NONE_OPENS: &str = "mainstay::key::none-opens";

/// The declared keys, each looked at only when that is needed, and then once.
#[derive(Debug)]
pub(crate) struct KeyChain {
    keys: Keys,
    seen: Mutex<BTreeMap<KeyName, std::result::Result<KeyFacts, String>>>,
}

/// What became of the try to open one recipient's entry.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It gave this data key.
    Opened(DataKey),
    /// Nothing was tried, because no key for it is here.
    Untested(String),
    /// The key is here and did not open it.
    Refused {
        /// Why.
        why: String,
        /// It is the very key that the entry names, and it says that the entry is not its: the entry is wrong.
        wrong_entry: bool,
        /// Whether another try may help.
        disposition: Disposition,
    },
}

impl KeyChain {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            keys: keys.clone(),
            seen: Mutex::default(),
        }
    }

    /// A declared key.
    pub(crate) fn get(&self, name: &KeyName) -> Result<&Arc<dyn KeyProvider>, StepError> {
        self.keys.get(name).ok_or_else(|| StepError::NotDeclared {
            what: "key",
            name: name.to_string(),
        })
    }

    /// What a look at a declared key gave, the first time somebody asked.
    pub(crate) async fn facts(
        &self,
        key: &dyn KeyProvider,
    ) -> std::result::Result<KeyFacts, String> {
        let mut seen = self.seen.lock().await;
        if let Some(facts) = seen.get(key.name()) {
            return facts.clone();
        }
        let facts = key.observe().await.map_err(|error| chain(&error));
        seen.insert(key.name().clone(), facts.clone());
        facts
    }

    /// Shows that every recipient's key can wrap now, on a data key that is thrown away: a backup that nobody could open, or
    /// only some of those who shall, must not even begin.
    pub(crate) async fn ensure_wraps(
        &self,
        names: &[KeyName],
        point: &RecoveryPointId,
    ) -> Result<(), StepError> {
        if names.is_empty() {
            return Ok(());
        }
        self.seal(names, point, "data").await.map(drop)
    }

    /// A fresh data key for one object, wrapped for all of `names`.
    pub(crate) async fn seal(
        &self,
        names: &[KeyName],
        point: &RecoveryPointId,
        file: &str,
    ) -> Result<(Sealing, SealedObject), StepError> {
        let key = DataKey::random()?;
        let context = KeyContext::new(point, file);
        let mut recipients: Vec<WrappedKey> = Vec::with_capacity(names.len());
        for name in names {
            let wrapped = self.get(name)?.wrap(&key, &context).await?;
            // Two names for one key make one recipient.
            let is_new = |known: &WrappedKey| !is_same_key(known, &wrapped.kind, &wrapped.key_id);
            if recipients.iter().all(is_new) {
                recipients.push(wrapped);
            }
        }
        let sealing = Sealing {
            key,
            associated_data: context.associated_data.clone(),
        };
        let object = SealedObject {
            associated_data: context.associated_data,
            encryption: Encryption::Aes256GcmHkdf1Mb,
            recipients,
        };
        Ok((sealing, object))
    }

    /// Opens every object of a ring; `mainstay::key::none-opens` when no declared key opens one of them.
    pub(crate) async fn open(&self, ring: &KeyRing) -> Result<BTreeMap<String, Sealing>> {
        let mut opened = BTreeMap::new();
        for (file, object) in &ring.objects {
            let key = self.open_object(&ring.recovery_point, file, object).await?;
            let sealing = Sealing {
                key,
                associated_data: object.associated_data.clone(),
            };
            opened.insert(file.clone(), sealing);
        }
        Ok(opened)
    }

    /// The data key of one object, from the first recipient whose key opens it.
    pub(crate) async fn open_object(
        &self,
        point: &RecoveryPointId,
        file: &str,
        object: &SealedObject,
    ) -> Result<DataKey> {
        let mut order: Vec<&WrappedKey> = object.recipients.iter().collect();
        // What needs no network first: in an emergency there may be none.
        order.sort_by_key(|recipient| match recipient.kind.as_str() {
            "local" => 0,
            "certificate" => 1,
            _ => 2,
        });
        let mut failed = Vec::with_capacity(order.len());
        for recipient in order {
            match self.try_recipient(point, file, recipient).await {
                Tried::Opened(key) => return Ok(key),
                other => failed.push((recipient, other)),
            }
        }
        Err(none_opens(point, file, &failed))
    }

    /// Tries one recipient's entry with the declared key that it names by its id, else with the one of its name.
    pub(crate) async fn try_recipient(
        &self,
        point: &RecoveryPointId,
        file: &str,
        recipient: &WrappedKey,
    ) -> Tried {
        let context = KeyContext::new(point, file);
        let mut last = None;
        for (key, facts) in self.candidates(recipient).await {
            let is_that_key = facts
                .as_ref()
                .is_ok_and(|facts| facts.key_id == recipient.key_id);
            if let Ok(facts) = &facts
                && let Some(why) = cannot_be_tried(facts)
            {
                last = Some(Tried::Untested(why));
                continue;
            }
            match key.unwrap(recipient, &context).await {
                Ok(opened) => return Tried::Opened(opened),
                Err(error) => {
                    last = Some(Tried::Refused {
                        why: chain(&error),
                        wrong_entry: is_that_key && error.code == CANNOT_OPEN,
                        disposition: error.disposition,
                    });
                }
            }
        }
        last.unwrap_or_else(|| {
            Tried::Untested("no key of that kind and id or name is declared".to_owned())
        })
    }

    async fn candidates(
        &self,
        recipient: &WrappedKey,
    ) -> Vec<(&Arc<dyn KeyProvider>, std::result::Result<KeyFacts, String>)> {
        let mut fitting = Vec::new();
        for key in self.keys.values() {
            if key.kind() != recipient.kind {
                continue;
            }
            let facts = self.facts(&**key).await;
            let by_id = facts
                .as_ref()
                .is_ok_and(|facts| facts.key_id == recipient.key_id);
            if by_id || *key.name() == recipient.name {
                fitting.push((by_id, (key, facts)));
            }
        }
        fitting.sort_by_key(|(by_id, _)| !by_id);
        fitting.into_iter().map(|(_, key)| key).collect()
    }
}

/// Whether an entry is for the key of that kind and id.
pub(crate) fn is_same_key(recipient: &WrappedKey, kind: &str, key_id: &str) -> bool {
    recipient.kind == kind && recipient.key_id == key_id
}

/// Why a key cannot even be asked to open anything: a certificate whose private key lies elsewhere. What is missing, disabled or
/// about to be deleted is asked all the same: its own refusal tells more, and it may still have an earlier key.
fn cannot_be_tried(facts: &KeyFacts) -> Option<String> {
    (facts.state == KeyState::Usable && !facts.opens).then(|| facts.detail.clone())
}

fn none_opens(
    point: &RecoveryPointId,
    file: &str,
    failed: &[(&WrappedKey, Tried)],
) -> ProviderError {
    let each: Vec<String> = failed
        .iter()
        .map(|(recipient, tried)| {
            let why = match tried {
                Tried::Opened(_) => "it opened",
                Tried::Untested(why) | Tried::Refused { why, .. } => why,
            };
            let WrappedKey {
                name, kind, key_id, ..
            } = recipient;
            format!("`{name}` ({kind} `{key_id}`): {why}")
        })
        .collect();
    let may_pass = failed.iter().any(|(_, tried)| {
        matches!(
            tried,
            Tried::Refused {
                disposition: Disposition::Retry,
                ..
            }
        )
    });
    let certificate = failed
        .iter()
        .map(|(recipient, _)| recipient)
        .find(|recipient| recipient.kind == "certificate");
    let help = match certificate {
        None => "make one of these keys available under `[key.…]` in the policy; `mainstay key list` shows the state of each".to_owned(),
        Some(recipient) => format!(
            "make one of these keys available under `[key.…]` in the policy; with the private key of the certificate `{}` the data key is opened by hand: {}",
            recipient.name,
            openssl_command(file, &recipient.name)
        ),
    };
    ProviderError::new(
        NONE_OPENS,
        if may_pass {
            Disposition::Retry
        } else {
            Disposition::NeedsOperator
        },
        format!(
            "no declared key opens `{file}` of `{point}`: {}",
            each.join("; ")
        ),
    )
    .help(help)
}

/// What opens the entry of a certificate without Mainstay, in the folder of the point.
pub(crate) fn openssl_command(file: &str, name: &KeyName) -> String {
    format!(
        "`jq -r '.objects[\"{file}\"].recipients[] | select(.name == \"{name}\") | .wrapped' keys.json | base64 -d | openssl cms -decrypt -inform DER -inkey PRIVATE_KEY.pem -out data.key`"
    )
}

/// What a thorough look at a ring found.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// What opens each object.
    pub(crate) sealings: BTreeMap<String, Sealing>,
    /// Recipients that were tried and opened their entry of every object.
    pub(crate) agree: Vec<String>,
    /// Recipients that could not be tried, and why.
    pub(crate) not_tried: Vec<String>,
}

/// Opens every object with every recipient whose key is here. All of them must give the same data key: a ring with a wrong
/// entry is found here, not on the day on which that entry's key is the last one left.
///
/// Errors: the inner one says what is wrong with the ring; the outer one says nothing about it.
pub(crate) async fn open_with_all(
    chain: &KeyChain,
    ring: &KeyRing,
) -> Result<std::result::Result<Opened, String>> {
    let point = &ring.recovery_point;
    let mut found = Opened::default();
    let mut trouble: BTreeMap<&KeyName, String> = BTreeMap::new();
    let mut agree: BTreeMap<&KeyName, bool> = BTreeMap::new();
    for (file, object) in &ring.objects {
        let mut key: Option<(&KeyName, DataKey)> = None;
        let mut failed = Vec::new();
        for recipient in &object.recipients {
            let name = &recipient.name;
            match chain.try_recipient(point, file, recipient).await {
                Tried::Opened(opened) => match &key {
                    Some((other, known)) if *known != opened => {
                        return Ok(Err(format!(
                            "in `keys.json` the entries of `{other}` and `{name}` for `{file}` open different keys"
                        )));
                    }
                    _ => {
                        agree.entry(name).or_insert(true);
                        key.get_or_insert((name, opened));
                    }
                },
                Tried::Refused {
                    why,
                    wrong_entry: true,
                    ..
                } => {
                    return Ok(Err(format!(
                        "in `keys.json` the entry of `{name}` for `{file}` does not open: {why}"
                    )));
                }
                tried => {
                    if let Tried::Untested(why) | Tried::Refused { why, .. } = &tried {
                        trouble.insert(name, why.clone());
                    }
                    agree.insert(name, false);
                    failed.push((recipient, tried));
                }
            }
        }
        let Some((_, key)) = key else {
            return Err(none_opens(point, file, &failed));
        };
        let sealing = Sealing {
            key,
            associated_data: object.associated_data.clone(),
        };
        found.sealings.insert(file.clone(), sealing);
    }
    found.agree = agree
        .into_iter()
        .filter(|(_, all)| *all)
        .map(|(name, _)| name.to_string())
        .collect();
    found.not_tried = trouble
        .into_iter()
        .map(|(name, why)| format!("key `{name}` was not tried: {why}"))
        .collect();
    Ok(Ok(found))
}

/// The ring of what was just sealed.
pub(crate) fn ring_of(point: &RecoveryPointId, objects: BTreeMap<String, SealedObject>) -> KeyRing {
    KeyRing {
        format: model::key_ring::FORMAT.to_owned(),
        objects,
        recovery_point: point.clone(),
    }
}
