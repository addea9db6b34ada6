//! Tokens of CEL. Offsets count code points, as positions in messages do.

use super::error::Issue;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Ident(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// Operators, brackets and the keywords `in`, `true`, `false`, `null`.
    Symbol(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Lexed {
    pub token: Token,
    /// Where it starts, code points.
    pub at: usize,
    /// As it is written, for messages.
    pub text: String,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "-", "+", "*", "/", "%", "?", ":", ",", ".",
    "(", ")", "[", "]", "{", "}",
];

struct Lexer<'t> {
    chars: &'t [char],
    at: usize,
}

/// All tokens of a text, the last is [`Token::End`].
pub(super) fn tokens(chars: &[char]) -> Result<Vec<Lexed>, Issue> {
    let mut lexer = Lexer { chars, at: 0 };
    let mut out = Vec::new();
    loop {
        lexer.skip_blank();
        let at = lexer.at;
        let token = lexer.next_token()?;
        let end = token == Token::End;
        let text = if end { "<EOF>".to_owned() } else { chars[at..lexer.at].iter().collect() };
        out.push(Lexed { token, at, text });
        if end {
            return Ok(out);
        }
    }
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c))
    }

    fn skip_blank(&mut self) {
        while self.at < self.chars.len() {
            if self.starts_with("//") {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.at += 1;
                }
            } else if matches!(self.peek(0), ' ' | '\t' | '\r' | '\n' | '\x0c') {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn next_token(&mut self) -> Result<Token, Issue> {
        if self.at >= self.chars.len() {
            return Ok(Token::End);
        }
        let c = self.peek(0);
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_ascii_digit()) {
            return self.number();
        }
        if let Some((prefix, raw, bytes)) = self.string_prefix() {
            return self.string(prefix, raw, bytes);
        }
        if c == '_' || c.is_ascii_alphabetic() {
            let start = self.at;
            while self.peek(0) == '_' || self.peek(0).is_ascii_alphanumeric() {
                self.at += 1;
            }
            let word: String = self.chars[start..self.at].iter().collect();
            let keyword = ["in", "true", "false", "null"].into_iter().find(|k| *k == word);
            return Ok(keyword.map_or(Token::Ident(word), Token::Symbol));
        }
        if c == '`' {
            return self.quoted_identifier();
        }
        for symbol in SYMBOLS {
            if self.starts_with(symbol) {
                self.at += symbol.len();
                return Ok(Token::Symbol(symbol));
            }
        }
        Err(Issue::syntax(self.at, format!("token recognition error at: '{c}'")))
    }

    fn quoted_identifier(&mut self) -> Result<Token, Issue> {
        let start = self.at;
        self.at += 1;
        while self.peek(0).is_ascii_alphanumeric()
            || matches!(self.peek(0), '_' | '.' | '-' | '/' | ' ')
        {
            self.at += 1;
        }
        let word: String = self.chars[start + 1..self.at].iter().collect();
        if self.peek(0) != '`' || word.is_empty() {
            return Err(Issue::syntax(start, format!("token recognition error at: '`{word}'")));
        }
        self.at += 1;
        Ok(Token::Ident(word))
    }

    fn number(&mut self) -> Result<Token, Issue> {
        let start = self.at;
        let bad = |what: &str| Issue::syntax(start, format!("invalid {what} literal"));
        if self.peek(0) == '0'
            && matches!(self.peek(1), 'x' | 'X')
            && self.peek(2).is_ascii_hexdigit()
        {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() {
                self.at += 1;
            }
            let digits: String = self.chars[start + 2..self.at].iter().collect();
            let value = u64::from_str_radix(&digits, 16).map_err(|_| bad("int"))?;
            return Ok(self.int_or_uint(value));
        }
        let mut double = false;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            double = true;
            self.at += 1;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        let sign = usize::from(matches!(self.peek(1), '+' | '-'));
        if matches!(self.peek(0), 'e' | 'E') && self.peek(1 + sign).is_ascii_digit() {
            double = true;
            self.at += 1 + sign;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        let text: String = self.chars[start..self.at].iter().collect();
        if double {
            return text.parse().map(Token::Double).map_err(|_| bad("double"));
        }
        let value = text.parse().map_err(|_| bad("int"))?;
        Ok(self.int_or_uint(value))
    }

    fn int_or_uint(&mut self, value: u64) -> Token {
        if matches!(self.peek(0), 'u' | 'U') {
            self.at += 1;
            return Token::Uint(value);
        }
        Token::Int(value)
    }

    /// Length of the prefix before the quote, whether raw, whether bytes.
    fn string_prefix(&self) -> Option<(usize, bool, bool)> {
        let (mut raw, mut bytes) = (false, false);
        for ahead in 0..3 {
            match self.peek(ahead) {
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes => bytes = true,
                '"' | '\'' => return Some((ahead, raw, bytes)),
                _ => return None,
            }
        }
        None
    }

    fn string(&mut self, prefix: usize, raw: bool, bytes: bool) -> Result<Token, Issue> {
        let start = self.at;
        self.at += prefix;
        let quote = self.peek(0);
        let triple = self.peek(1) == quote && self.peek(2) == quote;
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let mut text = String::new();
        let mut data = Vec::new();
        loop {
            let c = self.peek(0);
            if self.at >= self.chars.len() || (!triple && matches!(c, '\n' | '\r')) {
                let seen: String = self.chars[start..self.at].iter().collect();
                return Err(Issue::syntax(start, format!("token recognition error at: '{seen}'")));
            }
            if (0..width).all(|i| self.peek(i) == quote) {
                self.at += width;
                break;
            }
            if c == '\\' && !raw {
                self.escape(start, bytes, &mut text, &mut data)?;
                continue;
            }
            self.at += 1;
            text.push(c);
            data.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(if bytes { Token::Bytes(data) } else { Token::String(text) })
    }

    fn escape(
        &mut self,
        start: usize,
        bytes: bool,
        text: &mut String,
        data: &mut Vec<u8>,
    ) -> Result<(), Issue> {
        let bad = || Issue::syntax(start, "invalid escape sequence in string literal".into());
        let code = self.peek(1);
        self.at += 2;
        let simple = match code {
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            '\\' | '\'' | '"' | '`' | '?' => Some(code),
            _ => None,
        };
        let value = if let Some(c) = simple {
            u32::from(c)
        } else {
            let (digits, radix) = match code {
                'x' | 'X' => (2, 16),
                'u' => (4, 16),
                'U' => (8, 16),
                '0'..='3' => {
                    self.at -= 1;
                    (3, 8)
                }
                _ => return Err(bad()),
            };
            let end = self.at + digits;
            let chars = self.chars.get(self.at..end).ok_or_else(bad)?;
            let digits: String = chars.iter().collect();
            self.at = end;
            let value = u32::from_str_radix(&digits, radix).map_err(|_| bad())?;
            if bytes {
                data.push(u8::try_from(value).map_err(|_| bad())?);
                return Ok(());
            }
            value
        };
        let c = char::from_u32(value).ok_or_else(bad)?;
        text.push(c);
        data.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}
