//! Each error code of this crate has its page.

#[test]
fn every_error_code_has_its_page() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
    for code in mainstay_executor::error_codes() {
        let name = code.trim_start_matches("mainstay::").replace("::", "-");
        let text = std::fs::read_to_string(format!("{pages}/{name}.md")).unwrap_or_default();
        assert!(
            text.starts_with(&format!("# `{code}`\n")),
            "`{code}` has no page"
        );
    }
}
