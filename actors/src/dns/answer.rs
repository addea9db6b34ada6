//! From a meaning to a DNS message.

use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, CNAME, PTR, SOA, SRV, TXT},
    },
};

use super::zone::{Answer, Target, Zone};

/// Life of records, seconds: CoreDNS' default.
const TTL: u32 = 5;
/// Largest UDP message sent: what crosses the internet in one piece.
pub(super) const MAX_UDP: u16 = 1232;

/// An answer without records.
pub(super) fn plain(query: &Message, code: ResponseCode) -> Message {
    let mut m = Message::response(query.metadata.id, query.metadata.op_code);
    m.metadata.recursion_desired = query.metadata.recursion_desired;
    m.metadata.recursion_available = true;
    m.metadata.response_code = code;
    m.queries = query.queries.clone();
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP);
        m.edns = Some(edns);
    }
    m
}

/// The one question, or the code to refuse with.
pub(super) fn question(query: &Message) -> Result<&Query, ResponseCode> {
    if query.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    match query.queries.as_slice() {
        [one] => Ok(one),
        _ => Err(ResponseCode::FormErr),
    }
}

/// The name as the zone wants it: lower case, no last dot.
pub(super) fn plain_name(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// An authoritative answer; None for names that are not ours.
pub(super) fn answer(query: &Message, q: &Query, meaning: Answer, zone: &Zone) -> Option<Message> {
    let mut m = plain(query, ResponseCode::NoError);
    m.metadata.authoritative = true;
    let name = q.name().clone();
    let any = q.query_type() == RecordType::ANY;
    let is = |t: RecordType| q.query_type() == t || any;
    match meaning {
        Answer::Elsewhere => return None,
        Answer::NoName => m.metadata.response_code = ResponseCode::NXDomain,
        Answer::Empty => {}
        Answer::Addresses(ips) if is(RecordType::A) => {
            m.answers.extend(ips.into_iter().map(|ip| record(&name, RData::A(A(ip)))));
        }
        Answer::Service(ips, _) if is(RecordType::A) => {
            m.answers.extend(ips.into_iter().map(|ip| record(&name, RData::A(A(ip)))));
        }
        Answer::Service(_, targets) | Answer::Ports(targets) if is(RecordType::SRV) => {
            srv(&mut m, &name, &targets);
        }
        Answer::Names(names) if is(RecordType::PTR) => {
            let names = names.iter().filter_map(|n| absolute(n));
            m.answers.extend(names.map(|n| record(&name, RData::PTR(PTR(n)))));
        }
        Answer::Text(text) if is(RecordType::TXT) => {
            m.answers.push(record(&name, RData::TXT(TXT::new(vec![text]))));
        }
        Answer::Alias(to) => {
            let to = absolute(&to)?;
            m.answers.push(record(&name, RData::CNAME(CNAME(to))));
        }
        // The name exists, the type does not.
        _ => {}
    }
    if m.answers.is_empty()
        && let Some(soa) = soa(zone)
    {
        m.authorities.push(soa);
    }
    Some(m)
}

fn srv(m: &mut Message, name: &Name, targets: &[Target]) {
    // As CoreDNS: weights share out 100.
    let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(1).max(1);
    for t in targets {
        let Some(host) = absolute(&t.host) else { continue };
        let data = SRV::new(0, weight, t.port, host.clone());
        m.answers.push(record(name, RData::SRV(data)));
        let address = record(&host, RData::A(A(t.ip)));
        if !m.additionals.contains(&address) {
            m.additionals.push(address);
        }
    }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()
}

/// Says how long "no" may be remembered.
fn soa(zone: &Zone) -> Option<Record> {
    let at = absolute(&zone.domain)?;
    let server = absolute(&format!("ns.dns.{}", zone.domain))?;
    let person = absolute(&format!("hostmaster.{}", zone.domain))?;
    let data = SOA::new(server, person, 1, 7200, 1800, 86_400, TTL);
    Some(record(&at, RData::SOA(data)))
}

/// The message as bytes of at most `limit`; longer ones lose their records and say so.
pub(super) fn encode(mut m: Message, limit: usize) -> Option<Vec<u8>> {
    let bytes = m.to_vec().ok()?;
    if bytes.len() <= limit {
        return Some(bytes);
    }
    m.additionals.clear();
    let bytes = m.to_vec().ok()?;
    if bytes.len() <= limit {
        return Some(bytes);
    }
    m.answers.clear();
    m.authorities.clear();
    m.metadata.truncation = true;
    m.to_vec().ok()
}

/// How much the asker takes over UDP.
pub(super) fn udp_limit(query: &Message) -> usize {
    let wanted = query.edns.as_ref().map_or(512, Edns::max_payload);
    usize::from(wanted.clamp(512, MAX_UDP))
}
