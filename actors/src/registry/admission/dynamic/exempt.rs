//! What dynamic admission is never asked about: its own configuration, so that a bad one can always
//! be removed (apiserver `pkg/admission/plugin/webhook/predicates/rules`).

use kabuki_api::kind::Kind;

const GROUP: &str = "admissionregistration.k8s.io";
const CONFIGURATIONS: [&str; 6] = [
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// Whether objects of the kind configure admission.
pub(super) fn is_exempt(kind: &Kind) -> bool {
    kind.group == GROUP && CONFIGURATIONS.contains(&kind.plural)
}
