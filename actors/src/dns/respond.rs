//! One question, one answer: from the zone, or from the node's resolvers.

use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::{
    op::{Message, MessageType, Query, ResponseCode},
    rr::{Name, RecordType},
};

use super::{
    answer::{answer, encode, plain, plain_name, question, udp_limit},
    forward::Forwarder,
    zone::{Answer, Zone},
};
use crate::proxy::SharedCatalog;

/// Longest question taken.
pub(super) const MAX_QUESTION: usize = 4096;
/// Aliases within the cluster that are followed one after the other.
const MAX_ALIASES: usize = 4;

/// How many questions of each kind were answered.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub cluster: AtomicU64,
    pub forwarded: AtomicU64,
    pub failed: AtomicU64,
    pub malformed: AtomicU64,
}

/// Answers questions; shared by all listeners.
#[derive(Debug)]
pub(super) struct Responder {
    pub zone: Zone,
    pub catalog: SharedCatalog,
    pub forwarder: Forwarder,
    pub counts: Counts,
}

/// What to do with a question.
pub(super) enum Reply {
    /// Send this.
    Now(Vec<u8>),
    /// Somebody else has to be asked: call [`Responder::finish`] from a task.
    Later(Box<Message>),
    /// Not worth an answer.
    Drop,
}

impl Responder {
    /// Answers what it can without waiting. `tcp` lifts the size limit.
    pub(super) fn begin(&self, bytes: &[u8], tcp: bool) -> Reply {
        let Ok(query) = Message::from_vec(bytes) else {
            self.counts.malformed.fetch_add(1, Ordering::Relaxed);
            return Reply::Drop;
        };
        // A response sent to us must not be answered, or two servers would play ping-pong.
        if query.metadata.message_type != MessageType::Query {
            self.counts.malformed.fetch_add(1, Ordering::Relaxed);
            return Reply::Drop;
        }
        let limit = if tcp { usize::from(u16::MAX) } else { udp_limit(&query) };
        let done = |m: Message| encode(m, limit).map_or(Reply::Drop, Reply::Now);
        let q = match question(&query) {
            Ok(q) => q,
            Err(code) => return done(plain(&query, code)),
        };
        let (meaning, synced) = {
            let catalog = self.catalog.read();
            (self.zone.look_up(&catalog, &plain_name(q.name())), catalog.synced)
        };
        if meaning == Answer::Elsewhere {
            return Reply::Later(Box::new(query));
        }
        self.counts.cluster.fetch_add(1, Ordering::Relaxed);
        if !synced {
            // "No such name" would be remembered; this makes the asker try again.
            return done(plain(&query, ResponseCode::ServFail));
        }
        if matches!(meaning, Answer::Alias(_)) && q.query_type() != RecordType::CNAME {
            return Reply::Later(Box::new(query));
        }
        answer(&query, q, meaning, &self.zone).map_or(Reply::Drop, done)
    }

    /// Answers a question that needs others.
    pub(super) async fn finish(&self, query: &Message, bytes: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let limit = if tcp { usize::from(u16::MAX) } else { udp_limit(query) };
        let q = question(query).ok()?;
        let meaning = self.zone.look_up(&self.catalog.read(), &plain_name(q.name()));
        if matches!(meaning, Answer::Alias(_)) {
            let mut m = answer(query, q, meaning, &self.zone)?;
            self.follow(&mut m, q, tcp).await;
            return encode(m, limit);
        }
        self.counts.forwarded.fetch_add(1, Ordering::Relaxed);
        match self.forwarder.ask(bytes, tcp).await {
            Some(answer) if answer.len() <= limit => Some(answer),
            Some(answer) => encode(Message::from_vec(&answer).ok()?, limit),
            None => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                encode(plain(query, ResponseCode::ServFail), limit)
            }
        }
    }

    /// Adds what an external name stands for, as resolvers of programs expect it.
    async fn follow(&self, m: &mut Message, q: &Query, tcp: bool) {
        for _ in 0..MAX_ALIASES {
            let Some(to) = alias_target(m) else { return };
            let question = Query::query(to.clone(), q.query_type());
            let mut ask = Message::query();
            ask.metadata.recursion_desired = true;
            ask.add_query(question.clone());
            let meaning = self.zone.look_up(&self.catalog.read(), &plain_name(&to));
            if meaning == Answer::Elsewhere {
                let Ok(bytes) = ask.to_vec() else { return };
                let found = self.forwarder.ask(&bytes, tcp).await;
                if let Some(found) = found.and_then(|b| Message::from_vec(&b).ok()) {
                    m.answers.extend(found.answers);
                }
                return;
            }
            let Some(inner) = answer(&ask, &question, meaning, &self.zone) else { return };
            let more = matches!(alias_target(&inner), Some(next) if next != to);
            m.answers.extend(inner.answers);
            if !more {
                return;
            }
        }
    }
}

/// Where the last record leads, if it is an alias.
fn alias_target(m: &Message) -> Option<Name> {
    match &m.answers.last()?.data {
        hickory_proto::rr::RData::CNAME(to) => Some(to.0.clone()),
        _ => None,
    }
}
