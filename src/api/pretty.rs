//! Indents JSON without decoding it: two spaces, as `json.MarshalIndent` of the API server does.

/// Deepest indentation, so that hostile nesting cannot blow the answer up.
const MAX_INDENT: usize = 64;

/// Indents a JSON document; a last newline is added. Input that is not JSON comes out as it is,
/// with odd white space.
pub fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if in_string {
            out.push(byte);
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' | b'[' => {
                out.push(byte);
                let closing = if byte == b'{' { b'}' } else { b']' };
                if bytes.peek() == Some(&closing) {
                    bytes.next();
                    out.push(closing);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
    }
    out.push(b'\n');
    out
}

fn line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', 2 * depth.min(MAX_INDENT)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_like_serde() {
        for text in [
            r#"{"a":{},"b":[],"c":[1,{"d":"x\",{y:\\"}],"e":null}"#,
            r#"[]"#,
            r#""a:b,c""#,
            r#"{"a":"\\"}"#,
        ] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let want = serde_json::to_string_pretty(&value).unwrap() + "\n";
            assert_eq!(String::from_utf8(indent(text.as_bytes())).unwrap(), want);
        }
    }
}
