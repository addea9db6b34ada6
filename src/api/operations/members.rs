//! The members of the quorum: what each of them says, removing one, handing leadership over.

use actix_web::HttpResponse;
use kabuki_api::status::Status;
use kabuki_raft::{Member, MemberReport};
use serde_json::{Value, json};

use super::{
    super::{call::Call, face::Face},
    refused,
};

/// Log entries a member may be behind the leader and still count as healthy.
const LAG_MAX: u64 = 1_000;

/// `GET /operations/members`.
pub(super) async fn list(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let survey = face.registry.store().survey().await;
    let newest = survey.iter().filter_map(|m| m.status.as_ref().ok()?.last_log_index).max();
    let items: Vec<Value> = survey.iter().map(|m| item(m, newest.unwrap_or(0))).collect();
    let answer = json!({
        "kind": "MemberList",
        "apiVersion": "operations.kabuki/v1",
        "metadata": {},
        "clusterID": face.registry.store().status().cluster_id,
        "items": items,
    });
    super::json(call, &answer).await
}

fn item(report: &MemberReport, newest: u64) -> Value {
    let member = &report.member;
    let role = match (member.leader, member.voter) {
        (true, _) => "leader",
        (false, true) => "follower",
        (false, false) => "learner",
    };
    let mut item = json!({
        "id": member.id,
        "name": member.name,
        "peerAddress": member.peer_addr,
        "apiAddress": member.api_addr,
        "role": role,
    });
    match &report.status {
        Ok(status) => {
            let applied = status.applied_index.unwrap_or(0);
            let lag = newest.saturating_sub(applied);
            item["healthy"] = json!(status.failure.is_none() && lag <= LAG_MAX);
            item["lag"] = json!(lag);
            item["term"] = json!(status.term);
            item["applied"] = json!(applied);
            item["revision"] = json!(status.revision);
            if let Some(failure) = &status.failure {
                item["message"] = json!(failure);
            } else if lag > LAG_MAX {
                item["message"] = json!(format!("{lag} entries behind"));
            }
        }
        Err(why) => {
            // An older release answers nothing, but it does answer its leader.
            item["healthy"] = json!(why.contains("older kabuki"));
            item["message"] = json!(why);
        }
    }
    item
}

/// `DELETE /operations/members/<member>`, with `?force=true` also at the cost of the quorum.
pub(super) async fn remove(face: &Face, call: &Call, member: &str) -> Result<HttpResponse, Status> {
    let store = face.registry.store();
    let member = find(&store.members().await, member)?;
    let force = call.query.flag("force").unwrap_or(false);
    store.remove_member(member.id, force).await.map_err(refused)?;
    tracing::warn!(
        member = member.id,
        name = member.name,
        force,
        user = call.user.name,
        "a member was removed from the cluster"
    );
    super::json(call, &json!({"removed": known(&member)})).await
}

/// `POST /operations/leader`, with `?to=<member>` to a certain one.
pub(super) async fn transfer(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let store = face.registry.store();
    let members = store.members().await;
    let leader = match call.query.get("to") {
        "" => store.hand_over().await.map_err(refused)?,
        to => {
            let member = find(&members, to)?;
            if !member.leader {
                store.transfer_leader(member.id).await.map_err(refused)?;
            }
            member.id
        }
    };
    tracing::info!(leader, user = call.user.name, "leadership was handed over");
    let member = members.iter().find(|m| m.id == leader).map_or(Value::Null, known);
    super::json(call, &json!({"leader": member})).await
}

fn known(member: &Member) -> Value {
    json!({"id": member.id, "name": member.name, "peerAddress": member.peer_addr})
}

/// The one member a person means: by id, name, or address with or without a port.
fn find(members: &[Member], wanted: &str) -> Result<Member, Status> {
    let fits = |member: &&Member| {
        let host = |addr: &str| addr.rsplit_once(':').map(|(host, _)| host.to_owned());
        member.id.to_string() == wanted
            || (!member.name.is_empty() && member.name == wanted)
            || member.peer_addr == wanted
            || member.api_addr == wanted
            || host(&member.peer_addr).as_deref() == Some(wanted)
    };
    let found: Vec<&Member> = members.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Status::failure(
            404,
            "NotFound",
            format!("no member is called {wanted:?}; `kabuki member list` shows them"),
        )),
        several => {
            let ids: Vec<String> = several.iter().map(|m| m.id.to_string()).collect();
            Err(Status::failure(
                409,
                "Conflict",
                format!("{wanted:?} names several members: use an id, one of {}", ids.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use kabuki_raft::StoreStatus;

    use super::*;

    fn member(id: u64, name: &str, host: &str) -> Member {
        Member {
            id,
            name: name.into(),
            peer_addr: format!("{host}:6444"),
            api_addr: format!("{host}:6443"),
            voter: true,
            leader: id == 1,
        }
    }

    #[test]
    fn members_are_found_by_id_name_and_address() {
        let members =
            [member(1, "a", "10.0.0.1"), member(2, "b", "10.0.0.2"), member(3, "b", "10.0.0.3")];
        for (wanted, id) in
            [("1", 1), ("a", 1), ("10.0.0.2", 2), ("10.0.0.3:6444", 3), ("10.0.0.3:6443", 3)]
        {
            assert_eq!(find(&members, wanted).unwrap().id, id, "{wanted}");
        }
        assert_eq!(find(&members, "c").unwrap_err().code, 404);
        assert_eq!(find(&members, "").unwrap_err().code, 404);
        let error = find(&members, "b").unwrap_err();
        assert!(error.message.contains("2, 3"), "{}", error.message);
    }

    #[test]
    fn health_is_answers_without_failure_or_lag() {
        let report = |status| MemberReport { member: member(1, "a", "10.0.0.1"), status };
        let status =
            |applied| StoreStatus { applied_index: Some(applied), ..StoreStatus::default() };
        let well = item(&report(Ok(status(90))), 100);
        assert_eq!((&well["healthy"], &well["lag"]), (&json!(true), &json!(10)));
        let late = item(&report(Ok(status(90))), 100 + LAG_MAX);
        assert_eq!(late["healthy"], false);
        let failed = StoreStatus { failure: Some("disk".into()), ..status(100) };
        assert_eq!(item(&report(Ok(failed)), 100)["healthy"], false);
        let gone = item(&report(Err("not sent".into())), 100);
        assert_eq!((&gone["healthy"], &gone["message"]), (&json!(false), &json!("not sent")));
    }
}
