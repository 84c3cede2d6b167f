//! `[approval]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Who may approve plans that delete more than routine. Without this table, `--approve` with the id of the plan is enough.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct WrittenApproval {
    /// Different signers that it takes. Default 1.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) quorum: Option<u32>,
    /// Whether a signature of whoever wrote the policy (as Git knows it) does not count. Default false.
    pub(crate) exclude_author: Option<bool>,
    /// Everyone who may: a name, best the mail address that Git knows, and the line of the public key of SSH.
    #[schemars(extend("examples" = [{"alice@example.com": "ssh-ed25519 AAAA…"}]))]
    pub(crate) signers: Option<BTreeMap<String, String>>,
}
