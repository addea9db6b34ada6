//! The debug face of the whole cluster: every member and node is asked at once, and who does not
//! answer in time is listed as such.

use std::{collections::HashSet, time::Duration};

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kabuki_actors::{kernel::DebugCall, registry::View};
use kabuki_api::{kind::NODE, status::Status};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{
    accept::Offer,
    answer,
    call::Call,
    debug::{MAX_REMOTE_BYTES, Target, read},
    face::Face,
};

/// How long one process may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Processes asked at the same time.
const AT_ONCE: usize = 32;
/// Processes asked in all; further ones are named only.
const MAX_PROCESSES: usize = 512;
/// All answers together, bytes; further ones are left out.
const MAX_ANSWERS_BYTES: usize = 2 * MAX_REMOTE_BYTES;

/// One process of the cluster.
struct Process {
    name: String,
    role: &'static str,
    target: Result<Target, String>,
}

/// Answers `?node=all`.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    asked: &DebugCall,
) -> Result<HttpResponse, Status> {
    let cast = processes(face).await;
    let mut answers: Vec<(Process, Result<Bytes, String>)> = stream::iter(cast)
        .map(|process| async move {
            let answer = match &process.target {
                Err(why) => Err(why.clone()),
                Ok(target) => ask(face, call, asked, target).await,
            };
            (process, answer)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut size = 0;
    for (_, answer) in &mut answers {
        size += answer.as_ref().map_or(0, Bytes::len);
        if size > MAX_ANSWERS_BYTES {
            *answer = Err("left out: the answers are too large; ask for it by name".to_owned());
        }
    }
    if asked.wants_text() {
        return Ok(answer::text(200, text(&answers)));
    }
    let (_, looks) = call.negotiate(Offer::Plain)?;
    Ok(answer::document(200, document(&answers), looks).await)
}

async fn ask(
    face: &Face,
    call: &Call,
    asked: &DebugCall,
    target: &Target,
) -> Result<Bytes, String> {
    match tokio::time::timeout(ANSWER_WITHIN, read(face, call, asked, target)).await {
        Ok(answer) => answer.map_err(|status| status.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

/// This member, the others, and the nodes that are no member's process.
async fn processes(face: &Face) -> Vec<Process> {
    let mut cast = Vec::new();
    let own = face.peers.as_ref().map_or("", |p| p.own_name());
    cast.push(Process { name: own.to_owned(), role: "member", target: Ok(Target::Here) });
    if let Some(peers) = &face.peers {
        for peer in peers.others().await {
            let name = peer.name.clone();
            cast.push(Process { name, role: "member", target: Ok(Target::Member(peer)) });
        }
    }
    let members: HashSet<String> = cast.iter().map(|p| p.name.clone()).collect();
    let linked = face.link.as_ref().map(|hub| hub.connected()).unwrap_or_default();
    let linked: HashSet<String> = linked.into_iter().collect();
    let known = face.registry.list(NODE, None);
    let known = known.iter().map(|node| node.name().to_owned());
    let mut nodes: Vec<String> = known.chain(linked.iter().cloned()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    for name in nodes.into_iter().filter(|name| !members.contains(name)) {
        let target = match (linked.contains(&name), cast.len() < MAX_PROCESSES) {
            (false, _) => Err("unreachable: it has no link to this member".to_owned()),
            (true, false) => Err(format!("not asked: over {MAX_PROCESSES}; ask for it by name")),
            (true, true) => Ok(Target::Node(name.clone())),
        };
        cast.push(Process { name, role: "node", target });
    }
    cast
}

/// One document of all answers; each is JSON already.
fn document(answers: &[(Process, Result<Bytes, String>)]) -> Bytes {
    let mut out = b"{\"processes\":[".to_vec();
    for (n, (process, answer)) in answers.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let head = json!({"name": process.name, "role": process.role}).to_string();
        out.extend_from_slice(head.trim_end_matches('}').as_bytes());
        match answer {
            Ok(bytes) if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => {
                out.extend_from_slice(b",\"answer\":");
                out.extend_from_slice(bytes);
            }
            Ok(_) => out.extend_from_slice(b",\"error\":\"its answer is no JSON\""),
            Err(error) => {
                out.extend_from_slice(format!(",\"error\":{}", json!(error)).as_bytes());
            }
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out.into()
}

fn text(answers: &[(Process, Result<Bytes, String>)]) -> String {
    let mut out = String::new();
    for (process, answer) in answers {
        out.push_str(&format!("=== {} ({})\n", process.name, process.role));
        match answer {
            Ok(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
            Err(error) => out.push_str(&format!("{error}\n")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_put_together_whatever_they_are() {
        let process = |name: &str| {
            let target = Err(String::new());
            Process { name: name.to_owned(), role: "node", target }
        };
        let answers = [
            (process("a"), Ok(Bytes::from_static(b"{\"x\":1}"))),
            (process("b\""), Err("lost: \"why\"".to_owned())),
            (process("c"), Ok(Bytes::from_static(b"{\"x\":"))),
        ];
        let all: serde_json::Value = serde_json::from_slice(&document(&answers)).unwrap();
        assert_eq!(all["processes"][0]["answer"]["x"], 1);
        assert_eq!(all["processes"][1]["error"], "lost: \"why\"");
        assert_eq!(all["processes"][2]["error"], "its answer is no JSON");
        assert!(text(&answers).contains("=== a (node)\n{\"x\":1}"));
    }
}
