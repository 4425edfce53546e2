//! The console's texts in its two languages.
//!
//! Each page has its own, by [`words!`]: a text has both languages or does not compile. Texts with values are methods that
//! take them. Rejected: message catalogues read at run time, for two languages that are changed with the code; and a
//! template per language, which would be changed in one and forgotten in the other.

pub use crate::notify::mail::Locale;

/// Makes a type with a method per text: `title: "in English" | "en español";`, or `waits(count): "{count} …" | "…";`.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident;
        $($word:ident $(($($value:ident),+))?: $en:literal | $es:literal;)+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        $vis struct $name(pub $crate::operate::console::words::Locale);

        #[allow(dead_code)]
        impl $name {
            $(words! { @word $word ($($($value)+)?) $en $es })+
        }
    };
    (@word $word:ident () $en:literal $es:literal) => {
        pub fn $word(&self) -> &'static str {
            match self.0 {
                $crate::operate::console::words::Locale::En => $en,
                $crate::operate::console::words::Locale::Es => $es,
            }
        }
    };
    (@word $word:ident ($($value:ident)+) $en:literal $es:literal) => {
        pub fn $word(&self, $($value: impl std::fmt::Display),+) -> String {
            match self.0 {
                $crate::operate::console::words::Locale::En => format!($en),
                $crate::operate::console::words::Locale::Es => format!($es),
            }
        }
    };
}

pub(super) use words;

words! {
    /// What stands around every page.
    pub struct Shell;

    console: "Recadero" | "Recadero";
    skip: "Skip to the content" | "Saltar al contenido";
    settings: "Settings" | "Ajustes";
    integrations: "Integrations" | "Integraciones";
    webhooks: "Webhooks" | "Webhooks";
    demo: "Demo" | "Demostración";
    trouble: "In trouble" | "Con problemas";
    rejected: "Rejected events" | "Eventos rechazados";
    workspaces: "Workspaces" | "Espacios de trabajo";
    where_you_are: "You are here" | "Usted está aquí";
    other_language: "Español" | "English";
    sign_out: "Sign out" | "Cerrar sesión";
    only_reads: "This sign-in may only look; it changes nothing." | "Este acceso es solo de lectura; no cambia nada.";
    done: "Done" | "Hecho";
    failed: "It did not work" | "No funcionó";
}

/// The language that a browser prefers, by its `Accept-Language` (RFC 9110); English where it prefers neither.
pub fn preferred(accepted: &str) -> Locale {
    let mut best = (0.0, Locale::En);
    for range in accepted.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |text| text.parse::<f32>().ok());
        let locale = match tag.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "es" => Locale::Es,
            "en" | "*" => Locale::En,
            _ => continue,
        };
        // The first of equals goes before.
        if quality.is_some_and(|quality| quality > best.0) {
            best = (quality.unwrap_or_default(), locale);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    words! {
        struct Sample;
        plain: "one" | "uno";
        counted(count, of): "{count} of {of}" | "{count} de {of}";
    }

    #[test]
    fn a_text_is_told_in_the_language_with_its_values() {
        assert_eq!((Sample(Locale::En).plain(), Sample(Locale::Es).plain()), ("one", "uno"));
        assert_eq!(Sample(Locale::Es).counted(1, "2"), "1 de 2");
    }

    #[test]
    fn the_browsers_order_decides() {
        for (accepted, locale) in [
            ("", Locale::En),
            ("es", Locale::Es),
            ("es-MX,es;q=0.9,en;q=0.8", Locale::Es),
            ("en-GB,en;q=0.9,es;q=0.8", Locale::En),
            ("de-DE,de;q=0.9,es;q=0.5,en;q=0.4", Locale::Es),
            ("en;q=0.2, ES ; q=0.7", Locale::Es),
            ("fr", Locale::En),
            ("es;q=0", Locale::En),
            ("es;q=x", Locale::En),
        ] {
            assert_eq!(preferred(accepted), locale, "{accepted}");
        }
    }
}
