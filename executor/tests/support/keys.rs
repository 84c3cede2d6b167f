//! Keys of a world: real key files, and what a test does to them.

use super::{
    World, at, database,
    faults::{Faults, FaultyKey},
    series,
};
use async_trait::async_trait;
use mainstay_executor::RotateOrder;
use model::{KeyName, KeyRing, Manifest, RecoveryPointId, Step, WrappedKey};
use providers::{
    api::{KeyContext, KeyFacts, KeyProvider, KeyState, Result},
    keys::{
        certificate::{CertificateConfig, CertificateKey},
        local::{LocalConfig, LocalKey, generate},
    },
    seal::DataKey,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

pub fn key(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

/// The order to encrypt everything for these keys.
pub fn rotation_to(wanted: &[&str]) -> RotateOrder {
    let wanted = wanted.iter().map(|name| key(name)).collect();
    RotateOrder {
        wanted: BTreeMap::from([(database(), wanted)]),
        points: None,
        tiers: None,
        keep_old: false,
        who: "tester".to_owned(),
        why: "a test".to_owned(),
        run: "rotation".to_owned(),
        lease_wait: Duration::ZERO,
    }
}

/// A key file, made now, as the provider that reads it.
pub fn local_key(folder: &Path, name: &str, faults: &Faults) -> Arc<dyn KeyProvider> {
    let path = folder.join(format!("keys/{name}.key"));
    generate(&path, None, at("2026-11-01T00:00:00Z")).unwrap();
    let config = LocalConfig {
        path: path.to_str().unwrap().to_owned(),
        passphrase: None,
        previous: Vec::new(),
    };
    let key = LocalKey::new(key(name), config, folder);
    Arc::new(FaultyKey::new(Arc::new(key), faults.clone()))
}

/// A backup whose objects are encrypted.
pub fn encrypted(mut step: Step, names: &[&str]) -> Step {
    step.encrypt_for = names.iter().map(|name| key(name)).collect();
    step
}

impl World {
    pub fn key_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("keys/{name}.key"))
    }

    /// Makes and declares another key.
    pub fn add_key(&mut self, name: &str) {
        let made = local_key(self.folder.path(), name, &self.faults);
        self.wiring.keys.insert(key(name), made);
    }

    /// Declares a recovery certificate; its private key lies at the path, where no provider knows it.
    #[allow(
        clippy::disallowed_methods,
        reason = "the certificate of a person, made with the tool that the person has"
    )]
    pub fn add_certificate(&mut self, name: &str) -> PathBuf {
        let (certificate, private) = (
            self.folder.path().join(format!("keys/{name}.pem")),
            self.folder.path().join(format!("keys/{name}-private.pem")),
        );
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            ])
            .args(["-subj", "/CN=recovery", "-keyout"])
            .args([&private, Path::new("-out"), &certificate])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let config: CertificateConfig =
            serde_json::from_value(serde_json::json!({"path": certificate})).unwrap();
        let provider = CertificateKey::new(key(name), config, self.folder.path());
        self.wiring.keys.insert(key(name), Arc::new(provider));
        private
    }

    /// The ring of a copy.
    pub fn ring(&self, tier: &str, point: &RecoveryPointId) -> KeyRing {
        KeyRing::parse(&std::fs::read(self.path(tier, point, "keys.json")).unwrap()).unwrap()
    }

    /// Puts another ring in the place of a copy's, as a tool would that knows the format.
    pub fn set_ring(&self, tier: &str, point: &RecoveryPointId, ring: &KeyRing) {
        let path = self.path(tier, point, "keys.json");
        std::fs::write(path, ring.to_bytes().unwrap()).unwrap();
    }

    pub fn manifest(&self, tier: &str, point: &RecoveryPointId) -> Manifest {
        let bytes = std::fs::read(self.path(tier, point, "manifest.json")).unwrap();
        Manifest::parse(&bytes).unwrap()
    }

    /// The data key of one object, opened with a declared key.
    pub async fn data_key(&self, name: &str, ring: &KeyRing, file: &str) -> Result<DataKey> {
        let provider = &self.wiring.keys[&key(name)];
        let recipients = &ring.objects[file].recipients;
        let entry = recipients.iter().find(|entry| entry.name == key(name));
        let context = KeyContext::new(&ring.recovery_point, file);
        provider.unwrap(entry.unwrap(), &context).await
    }
}

/// Names of the recipients of the first object of a ring.
pub fn recipients(ring: &KeyRing) -> Vec<String> {
    let objects: Vec<Vec<String>> = ring
        .objects
        .values()
        .map(|object| {
            let names = object.recipients.iter();
            names.map(|entry| entry.name.to_string()).collect()
        })
        .collect();
    assert!(objects.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(ring.recovery_point.series(), series().as_str());
    objects[0].clone()
}

/// A key in a state that a file cannot be in.
#[derive(Debug)]
pub struct KeyInState {
    pub inner: Arc<dyn KeyProvider>,
    pub state: KeyState,
    /// Whether it still wraps and opens.
    pub works: bool,
}

#[async_trait]
impl KeyProvider for KeyInState {
    fn name(&self) -> &KeyName {
        self.inner.name()
    }
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn observe(&self) -> Result<KeyFacts> {
        Ok(KeyFacts {
            state: self.state.clone(),
            ..self.inner.observe().await?
        })
    }
    async fn wrap(&self, data_key: &DataKey, context: &KeyContext) -> Result<WrappedKey> {
        self.refuse()?;
        self.inner.wrap(data_key, context).await
    }
    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey> {
        self.refuse()?;
        self.inner.unwrap(wrapped, context).await
    }
}

impl KeyInState {
    fn refuse(&self) -> Result<()> {
        if self.works {
            return Ok(());
        }
        Err(providers::api::ProviderError::new(
            "mainstay::key::disabled",
            model::Disposition::NeedsOperator,
            format!("key `{}` is disabled", self.name()),
        ))
    }
}
