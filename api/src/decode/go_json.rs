//! Where JSON is broken, in the words of Go's `encoding/json`: people and tools know that text. Run
//! only after a body was refused.

/// A reader of JSON text that builds nothing.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What comes after one value.
enum Within {
    Object,
    Array,
}

type Checked = Result<(), String>;

/// Go's text for the first error of syntax; `None` if Go would find none.
pub(super) fn syntax_error(body: &[u8]) -> Option<String> {
    Scanner { bytes: body, at: 0 }.document().err()
}

fn shown(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let quoted = crate::text::quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

impl Scanner<'_> {
    fn peek(&self) -> Result<u8, String> {
        self.bytes.get(self.at).copied().ok_or_else(|| "unexpected end of JSON input".to_owned())
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Refuses the byte that was read last.
    fn refuse(&self, context: &str) -> Checked {
        let byte = self.bytes.get(self.at.wrapping_sub(1)).copied().unwrap_or_default();
        Err(format!("invalid character {} {context}", shown(byte)))
    }

    fn document(&mut self) -> Checked {
        let mut open: Vec<Within> = Vec::new();
        loop {
            // A value begins here.
            self.skip_space();
            match self.next()? {
                b'{' => {
                    self.skip_space();
                    if self.peek()? == b'}' {
                        self.at += 1;
                    } else {
                        open.push(Within::Object);
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.skip_space();
                    if self.peek()? == b']' {
                        self.at += 1;
                    } else {
                        open.push(Within::Array);
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                _ => return self.refuse("looking for beginning of value"),
            }
            if self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Goes on to where the next value begins; true at the end of the document.
    fn after_value(&mut self, open: &mut Vec<Within>) -> Result<bool, String> {
        loop {
            self.skip_space();
            let Some(within) = open.last() else {
                if self.at == self.bytes.len() {
                    return Ok(true);
                }
                self.at += 1;
                return self.refuse("after top-level value").map(|()| true);
            };
            match (within, self.next()?) {
                (Within::Object, b'}') | (Within::Array, b']') => drop(open.pop()),
                (Within::Object, b',') => {
                    self.skip_space();
                    return self.key().map(|()| false);
                }
                (Within::Array, b',') => return Ok(false),
                (Within::Object, _) => {
                    return self.refuse("after object key:value pair").map(|()| false);
                }
                (Within::Array, _) => return self.refuse("after array element").map(|()| false),
            }
        }
    }

    fn key(&mut self) -> Checked {
        if self.next()? != b'"' {
            return self.refuse("looking for beginning of object key string");
        }
        self.string()?;
        self.skip_space();
        if self.next()? == b':' { Ok(()) } else { self.refuse("after object key") }
    }

    fn string(&mut self) -> Checked {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            if !self.next()?.is_ascii_hexdigit() {
                                return self.refuse(r"in \u hexadecimal character escape");
                            }
                        }
                    }
                    _ => return self.refuse("in string escape code"),
                },
                0..=0x1f => return self.refuse("in string literal"),
                _ => {}
            }
        }
    }

    fn word(&mut self, word: &str) -> Checked {
        for wanted in word.bytes().skip(1) {
            if self.next()? != wanted {
                let wanted = char::from(wanted);
                return self.refuse(&format!("in literal {word} (expecting '{wanted}')"));
            }
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn digit(&mut self, context: &str) -> Checked {
        if self.next()?.is_ascii_digit() { Ok(()) } else { self.refuse(context) }
    }

    fn number(&mut self, first: u8) -> Checked {
        let mut lead = first;
        if first == b'-' {
            lead = self.peek()?;
            self.digit("in numeric literal")?;
        }
        if lead != b'0' {
            self.digits();
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_gos() {
        for (body, want) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{}x", "invalid character 'x' after top-level value"),
            ("nul", "unexpected end of JSON input"),
            ("nulL", "invalid character 'L' in literal null (expecting 'l')"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("\u{0}", "invalid character '\\x00' looking for beginning of value"),
            ("a: b", "invalid character 'a' looking for beginning of value"),
        ] {
            assert_eq!(syntax_error(body.as_bytes()).as_deref(), Some(want), "{body}");
        }
        for body in ["{}", " [ ] ", "[1,{\"a\":[null,true]}]", "-0.5e+3", "\"\\u00e9\""] {
            assert_eq!(syntax_error(body.as_bytes()), None, "{body}");
        }
    }
}
