//! What others wrote, made harmless to look at: an event's body, indented, and the beginning of an answer.
//!
//! Templates escape by themselves. Here marks that turn the direction of writing, and other characters that show nothing,
//! become what JSON writes for them; and what is long ends where the page would become too large.

/// The most of a body that a page shows, in bytes of HTML.
pub const SHOWN_MAX: usize = 96 << 10;

/// What a `<`, `>`, `&`, `"` or `'` takes in HTML at most.
const ESCAPED_BYTES: usize = 6;

/// A text for a page.
pub struct Shown {
    /// The text.
    pub text: String,
    /// Whether there is more.
    pub cut: bool,
}

/// JSON, indented. What stands in it stays: no number is rounded, no key moves.
pub fn json(body: &str) -> Shown {
    let mut out = Out::default();
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if chars.next_if(|next| matches!(next, '}' | ']')).is_some() {
                    out.push(if c == '{' { '}' } else { ']' });
                } else {
                    depth += 1;
                    out.line(depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                out.line(depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                out.line(depth);
            }
            ':' => {
                out.push(c);
                out.push(' ');
            }
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
        if out.shown.cut {
            break;
        }
    }
    out.shown
}

/// A text as it is.
pub fn text(text: &str) -> Shown {
    let mut out = Out::default();
    text.chars().for_each(|c| out.push(c));
    out.shown
}

struct Out {
    shown: Shown,
    left: usize,
}

impl Default for Out {
    fn default() -> Self {
        Self { shown: Shown { text: String::new(), cut: false }, left: SHOWN_MAX }
    }
}

impl Out {
    fn push(&mut self, c: char) {
        let shows_nothing = c.is_control() && !matches!(c, '\n' | '\t');
        let bytes = if shows_nothing || turns(c) || "<>&\"'".contains(c) { ESCAPED_BYTES } else { c.len_utf8() };
        if self.shown.cut || bytes > self.left {
            self.shown.cut = true;
            return;
        }
        self.left -= bytes;
        if shows_nothing || turns(c) {
            self.shown.text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            self.shown.text.push(c);
        }
    }

    fn line(&mut self, depth: usize) {
        self.push('\n');
        (0..depth * 2).for_each(|_| self.push(' '));
    }
}

/// Marks of direction, and spaces without width; not the joiners, of which emoji and scripts are made.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_nothing_in_it_changes() {
        let body = r#"{"a":1.0,"b":[],"c":{},"d":["x,y:{z}","\"}"],"e":1e999}"#;
        let indented = "{\n  \"a\": 1.0,\n  \"b\": [],\n  \"c\": {},\n  \"d\": [\n    \"x,y:{z}\",\n    \"\\\"}\"\n  ],\n  \"e\": 1e999\n}";
        assert_eq!(json(body).text, indented);
    }

    #[test]
    fn what_shows_nothing_is_shown_and_emoji_stay() {
        assert_eq!(text("a\u{202e}b\u{0}c\n👩‍💻").text, "a\\u202eb\\u0000c\n👩‍💻");
    }

    #[test]
    fn what_is_long_ends() {
        for long in ["<".repeat(SHOWN_MAX), "[".repeat(5_000), format!("\"{}\"", "é".repeat(SHOWN_MAX))] {
            let shown = json(&long);
            let html: usize = shown.text.chars().map(|c| if c == '<' { 5 } else { c.len_utf8() }).sum();
            assert!(shown.cut && html <= SHOWN_MAX, "{html}");
        }
        assert!(!text("short").cut);
    }
}
