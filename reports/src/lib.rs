//! Documents for people: recovery logs and runbooks, from records and templates, in Markdown and HTML.
//!
//! Not here: gathering what stands in them (`catalog`, `executor`), printing (the root package).
