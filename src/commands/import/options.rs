//! The options of a command line, in every way in which they may be written: `--name value`, `--name=value`, `-n value`, `-nvalue`.

use super::{
    found::{Place, Reading},
    shell::Word,
};

/// One option, or an argument that is none.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) is_open: bool,
    value: Option<String>,
}

/// Walks through the words behind a program's name.
pub(crate) struct Options<'w> {
    words: std::slice::Iter<'w, Word>,
    short_with_value: &'w [&'w str],
}

impl<'w> Options<'w> {
    pub(crate) fn new(words: &'w [Word], short_with_value: &'w [&'w str]) -> Self {
        Self {
            words: words.iter(),
            short_with_value,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Given> {
        let word = self.words.next()?;
        let (line, is_open) = (word.line, word.open);
        let option = |name: &str, value: Option<&str>| Given {
            name: name.to_owned(),
            line,
            is_open,
            value: value.map(str::to_owned),
        };
        if word.text.starts_with("--")
            && let Some((name, value)) = word.text.split_once('=')
        {
            return Some(option(name, Some(value)));
        }
        let short = self.short_with_value.iter().find(|short| {
            word.text.starts_with(**short)
                && word.text.len() > short.len()
                && !word.text.starts_with("--")
        });
        if let Some(short) = short {
            let value = word.text[short.len()..].trim_start_matches('=');
            return Some(option(short, Some(value)));
        }
        Some(option(&word.text, None))
    }

    /// The value of an option; a problem where there is none.
    pub(crate) fn value(
        &mut self,
        option: &Given,
        place: &Place,
        reading: &mut Reading,
    ) -> Option<String> {
        if let Some(value) = &option.value {
            return Some(value.clone());
        }
        let Some(word) = self.words.next() else {
            reading.problem(place.clone(), format!("`{}` lacks its value", option.name));
            return None;
        };
        Some(word.text.clone())
    }
}

/// The sentence for an option that does not exist.
pub(crate) fn unknown<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let nearest = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, known)) => format!("`{name}` is no setting of retention; did you mean `{known}`?"),
        None => format!("`{name}` is no setting of retention"),
    }
}
