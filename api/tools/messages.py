#!/usr/bin/env python3
"""Writes src/schema/messages.txt: the field table of every message the served kinds reach.

Facts come from two dependencies of this crate, as cargo unpacked them: k8s-pb (message fields, tags,
types) and k8s-openapi (JSON names, struct names, which fields are required). What neither knows is
written down below: inlined messages, pointer fields, merge strategies.

    python3 api/tools/messages.py ~/.cargo/registry/src/*/ > api/src/schema/messages.txt
"""

import pathlib
import re
import sys

# Every message a row of the kind table names.
ROOTS = sorted({name for file in pathlib.Path(__file__).parent.parent.glob("src/kind/**/*.rs")
                for name in re.findall(r'"([a-z]+\.v\d\w*\.[A-Z]\w*)"', file.read_text())})

# Where both dependencies keep the packages that are read.
HOMES = ("api/", "apimachinery/", "apiextensions_apiserver/pkg/apis/apiextensions/v1",
         "kube_aggregator/pkg/apis/apiregistration/v1")

SPECIAL = {
    "meta.v1.Time": "Time", "meta.v1.MicroTime": "MicroTime", "resource.Quantity": "Quantity",
    "intstr.IntOrString": "IntOrString", "runtime.RawExtension": "RawExtension",
    "meta.v1.FieldsV1": "FieldsV1", "meta.v1.Duration": "Duration",
    "authentication.v1.ExtraValue": "Strings", "certificates.v1.ExtraValue": "Strings",
    "authorization.v1.ExtraValue": "Strings",
    "apiextensions.v1.Json": "RawExtension",
    **{f"apiextensions.v1.JsonSchemaPropsOr{other}": "SchemaOr"
       for other in ("Bool", "Array", "StringArray")},
}

# message -> fields whose message is spliced into the parent in JSON
INLINE = {
    "core.v1.Volume": {"volumesource"}, "core.v1.Probe": {"handler"},
    "core.v1.EphemeralContainer": {"ephemeralcontainercommon"},
    "core.v1.PersistentVolumeSpec": {"persistentvolumesource"},
    "networking.v1.IngressRule": {"ingressrulevalue"},
    "admissionregistration.v1.RuleWithOperations": {"rule"},
    "admissionregistration.v1.NamedRuleWithOperations": {"rulewithoperations"},
    **{f"resource.v1.Device{m}Configuration": {"deviceconfiguration"}
       for m in ("Claim", "Allocation", "Class")},
    **{f"core.v1.{m}": {"localobjectreference"} for m in (
        "SecretProjection ConfigMapVolumeSource ConfigMapProjection ConfigMapKeySelector "
        "SecretKeySelector ConfigMapEnvSource SecretEnvSource").split()},
}

POINTERS = set("""
activeDeadlineSeconds allowPrivilegeEscalation appProtocol automountServiceAccountToken
blockOwnerDeletion collisionCount defaultMode deletionGracePeriodSeconds enableServiceLinks
endpointsNamespace expirationSeconds failurePolicy fsGroup fsGroupChangePolicy
gmsaCredentialSpec gmsaCredentialSpecName gracePeriodSeconds holderIdentity hostnameOverride
immutable internalTrafficPolicy ipFamilyPolicy ipMode leaseDurationSeconds leaseTransitions
limitBytes loadBalancerClass localhostProfile minDomains mode mountPropagation nodeAffinityPolicy
nodeTaintsPolicy optional orphanDependents preemptionPolicy preferredHolder privileged procMount
progressDeadlineSeconds propagationPolicy readOnlyRootFilesystem recursiveReadOnly
resourceClaimName resourceClaimTemplateName revisionHistoryLimit runAsGroup runAsNonRoot runAsUser
runAsUserName runtimeClassName seLinuxChangePolicy setHostnameAsFQDN shareProcessNamespace
sinceSeconds started stopSignal strategy supplementalGroupsPolicy tailLines terminating
terminatingReplicas terminationGracePeriodSeconds tolerationSeconds trafficDistribution
volumeAttributesClassName volumeMode zone hostProcess serving
allocateLoadBalancerNodePorts serviceAccountToken kubeletConfigKey signerName recursiveReadOnlyMounts
supplementalGroupsPolicy maxPods nodeStatusMaxImages
""".split())

# pointers only in these messages
POINTERS_IN = {
    ("core.v1.TypedLocalObjectReference", "apiGroup"), ("core.v1.TypedObjectReference", "apiGroup"),
    ("core.v1.TypedObjectReference", "namespace"), ("meta.v1.OwnerReference", "controller"),
    ("core.v1.AzureDiskVolumeSource", "fsType"), ("core.v1.AzureDiskVolumeSource", "readOnly"),
    ("core.v1.AzureDiskVolumeSource", "cachingMode"), ("core.v1.AzureDiskVolumeSource", "kind"),
    ("core.v1.CSIVolumeSource", "fsType"), ("core.v1.CSIVolumeSource", "readOnly"),
    ("core.v1.ISCSIVolumeSource", "initiatorName"), ("core.v1.GRPCAction", "service"),
    ("discovery.v1.Endpoint", "hostname"), ("discovery.v1.Endpoint", "nodeName"),
    ("discovery.v1.EndpointConditions", "ready"), ("core.v1.EndpointAddress", "nodeName"),
    ("discovery.v1.EndpointPort", "name"), ("discovery.v1.EndpointPort", "protocol"),
    ("discovery.v1.EndpointPort", "port"), ("apps.v1.DeploymentSpec", "replicas"),
    ("apps.v1.ReplicaSetSpec", "replicas"), ("meta.v1.Preconditions", "uid"),
    ("meta.v1.Preconditions", "resourceVersion"), ("core.v1.Container", "restartPolicy"),
    ("core.v1.EphemeralContainerCommon", "restartPolicy"),
    ("core.v1.ClientIPConfig", "timeoutSeconds"), ("core.v1.HostPathVolumeSource", "type"),
    ("core.v1.PodDNSConfigOption", "value"), ("core.v1.PodSpec", "priority"),
    ("core.v1.PodSpec", "preemptionPolicy"), ("core.v1.SeccompProfile", "localhostProfile"),
    ("core.v1.PersistentVolumeClaimSpec", "storageClassName"),
    ("core.v1.PortStatus", "error"), ("core.v1.NodeRuntimeHandlerFeatures", "userNamespaces"),
    ("core.v1.NodeSwapStatus", "capacity"), ("core.v1.PodSpec", "hostUsers"),
    ("core.v1.FCVolumeSource", "lun"), ("core.v1.PodCertificateProjection", "maxExpirationSeconds"),
    ("meta.v1.ListMeta", "remainingItemCount"),
    ("meta.v1.DeleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential"),
}

POINTERS_IN |= {(message, field) for message, fields in {
    **{f"admissionregistration.v1.{kind}Webhook":
       "failurePolicy matchPolicy reinvocationPolicy sideEffects timeoutSeconds"
       for kind in ("Mutating", "Validating")},
    "admissionregistration.v1.Rule": "scope",
    "admissionregistration.v1.MatchResources": "matchPolicy",
    "admissionregistration.v1.ParamRef": "parameterNotFoundAction",
    "admissionregistration.v1.Validation": "reason",
    **{f"admissionregistration.v1.{kind}AdmissionPolicySpec": "failurePolicy"
       for kind in ("Mutating", "Validating")},
    "admissionregistration.v1.ServiceReference": "path port",
    "admissionregistration.v1.WebhookClientConfig": "url",
    "apiregistration.v1.ServiceReference": "port",
    "apps.v1.StatefulSetSpec": "replicas",
    "apps.v1.RollingUpdateStatefulSetStrategy": "partition",
    "apiextensions.v1.CustomResourceDefinitionVersion": "deprecationWarning",
    "apiextensions.v1.CustomResourceSubresourceScale": "labelSelectorPath",
    "apiextensions.v1.JSONSchemaProps": "$ref maximum minimum maxLength minLength maxItems minItems multipleOf maxProperties minProperties x-kubernetes-preserve-unknown-fields x-kubernetes-list-type x-kubernetes-map-type",
    "apiextensions.v1.ServiceReference": "path port",
    "apiextensions.v1.ValidationRule": "reason optionalOldSelf",
    "apiextensions.v1.WebhookClientConfig": "url",
    "autoscaling.v1.HorizontalPodAutoscalerSpec": "minReplicas targetCPUUtilizationPercentage",
    "autoscaling.v1.HorizontalPodAutoscalerStatus": "observedGeneration currentCPUUtilizationPercentage",
    "autoscaling.v2.HorizontalPodAutoscalerSpec": "minReplicas",
    "autoscaling.v2.HorizontalPodAutoscalerStatus": "observedGeneration",
    "autoscaling.v2.HPAScalingRules": "stabilizationWindowSeconds selectPolicy",
    "autoscaling.v2.MetricTarget": "averageUtilization",
    "autoscaling.v2.MetricValueStatus": "averageUtilization",
    "batch.v1.CronJobSpec": "timeZone startingDeadlineSeconds suspend successfulJobsHistoryLimit failedJobsHistoryLimit",
    "batch.v1.JobSpec": "parallelism completions backoffLimit backoffLimitPerIndex maxFailedIndexes manualSelector ttlSecondsAfterFinished completionMode suspend podReplacementPolicy managedBy",
    "batch.v1.JobStatus": "failedIndexes ready",
    "batch.v1.PodFailurePolicyOnExitCodesRequirement": "containerName",
    "batch.v1.SuccessPolicyRule": "succeededIndexes succeededCount",
    "core.v1.AzureFilePersistentVolumeSource": "secretNamespace",
    "core.v1.ISCSIPersistentVolumeSource": "initiatorName",
    "core.v1.LocalVolumeSource": "fsType",
    "core.v1.PersistentVolumeClaimStatus": "currentVolumeAttributesClassName",
    "core.v1.ReplicationControllerSpec": "replicas",
    "flowcontrol.v1.ExemptPriorityLevelConfiguration": "nominalConcurrencyShares lendablePercent",
    "flowcontrol.v1.LimitedPriorityLevelConfiguration": "nominalConcurrencyShares lendablePercent borrowingLimitPercent",
    "networking.v1.IngressClassParametersReference": "apiGroup scope namespace",
    "networking.v1.IngressPortStatus": "error",
    "networking.v1.IngressSpec": "ingressClassName",
    "networking.v1.NetworkPolicyPort": "protocol endPort",
    "policy.v1.PodDisruptionBudgetSpec": "unhealthyPodEvictionPolicy",
    "resource.v1.AllocatedDeviceStatus": "shareID",
    "resource.v1.Device": "nodeName allNodes bindsToNode allowMultipleAllocations",
    "resource.v1.DeviceAttribute": "int bool string version",
    "resource.v1.DeviceClassSpec": "extendedResourceName",
    "resource.v1.DeviceConstraint": "matchAttribute distinctAttribute",
    "resource.v1.DeviceRequestAllocationResult": "adminAccess shareID",
    "resource.v1.ExactDeviceRequest": "adminAccess",
    "resource.v1.ResourceSliceSpec": "nodeName allNodes perDeviceNodeSelection",
    "storage.v1.CSIDriverSpec": "attachRequired podInfoOnMount storageCapacity fsGroupPolicy requiresRepublish seLinuxMount nodeAllocatableUpdatePeriodSeconds serviceAccountTokenInSecrets",
    "storage.v1.StorageClass": "reclaimPolicy allowVolumeExpansion volumeBindingMode",
    "storage.v1.VolumeAttachmentSource": "persistentVolumeName",
    "storage.v1.VolumeError": "errorCode",
    "storage.v1.VolumeNodeResources": "count",
}.items() for field in fields.split()}

# names of POINTERS that are plain values here
VALUES = {("certificates.v1.CertificateSigningRequestSpec", "signerName")}

# fields Go always writes although the OpenAPI document calls them optional
REQUIRED = {(message, field) for message, fields in {
    "scheduling.v1.PriorityClass": "value",
    "apps.v1.StatefulSetStatus": "availableReplicas",
    "flowcontrol.v1.FlowSchemaSpec": "matchingPrecedence",
    "flowcontrol.v1.QueuingConfiguration": "queues handSize queueLengthLimit",
    "policy.v1.PodDisruptionBudgetStatus": "disruptionsAllowed currentHealthy desiredHealthy expectedPods",
}.items() for field in fields.split()}

# message.field -> merge key and strategy
MERGE = {
    "meta.v1.ObjectMeta.ownerReferences": "merge=uid", "meta.v1.ObjectMeta.finalizers": "merge",
    "core.v1.PodSpec.containers": "merge=name", "core.v1.PodSpec.initContainers": "merge=name",
    "core.v1.PodSpec.ephemeralContainers": "merge=name",
    "core.v1.PodSpec.volumes": "merge=name retain",
    "core.v1.PodSpec.imagePullSecrets": "merge=name", "core.v1.PodSpec.hostAliases": "merge=ip",
    "core.v1.PodSpec.topologySpreadConstraints": "merge=topologyKey",
    "core.v1.PodSpec.schedulingGates": "merge=name",
    "core.v1.PodSpec.resourceClaims": "merge=name retain",
    **{f"core.v1.{m}.{f}": f"merge={k}" for m in ("Container", "EphemeralContainerCommon")
       for f, k in (("env", "name"), ("ports", "containerPort"), ("volumeMounts", "mountPath"),
                    ("volumeDevices", "devicePath"))},
    "core.v1.PodStatus.conditions": "merge=type", "core.v1.PodStatus.podIPs": "merge=ip",
    "core.v1.PodStatus.hostIPs": "merge=ip",
    "core.v1.PodStatus.resourceClaimStatuses": "merge=name retain",
    "core.v1.ContainerStatus.volumeMounts": "merge=mountPath",
    "core.v1.ContainerStatus.allocatedResourcesStatus": "merge=name",
    "core.v1.ServiceSpec.ports": "merge=port", "core.v1.ServiceStatus.conditions": "merge=type",
    "core.v1.ServiceAccount.secrets": "merge=name", "core.v1.NodeSpec.podCIDRs": "merge",
    "core.v1.NodeStatus.conditions": "merge=type", "core.v1.NodeStatus.addresses": "merge=type",
    "core.v1.NamespaceStatus.conditions": "merge=type",
    "apps.v1.DeploymentSpec.strategy": "retain",
    "apps.v1.DeploymentStatus.conditions": "merge=type",
    **{f"{m}Status.conditions": "merge=type" for m in (
        "apps.v1.ReplicaSet apps.v1.DaemonSet apps.v1.StatefulSet batch.v1.Job "
        "autoscaling.v2.HorizontalPodAutoscaler core.v1.PersistentVolumeClaim "
        "core.v1.ReplicationController policy.v1.PodDisruptionBudget "
        "flowcontrol.v1.FlowSchema flowcontrol.v1.PriorityLevelConfiguration").split()},
    "policy.v1.PodDisruptionBudgetSpec.selector": "replace",
    "storage.v1.CSINodeSpec.drivers": "merge=name",
    **{f"admissionregistration.v1.{kind}AdmissionPolicySpec.{field}": "merge=name"
       for kind in ("Mutating", "Validating") for field in ("matchConditions", "variables")},
    "admissionregistration.v1.ValidatingAdmissionPolicyStatus.conditions": "merge=type",
    **{f"admissionregistration.v1.{kind}WebhookConfiguration.webhooks": "merge=name"
       for kind in ("Mutating", "Validating")},
    **{f"admissionregistration.v1.{kind}Webhook.matchConditions": "merge=name"
       for kind in ("Mutating", "Validating")},
    "apiregistration.v1.APIServiceStatus.conditions": "merge=type",
}

BECAME_V1 = "admissionregistration.v1beta1."

TAG = re.compile(r'#\[prost\((?P<args>[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*pub (?:r#)?(?P<name>\w+):\s*(?P<type>[^\n]*(?:\n\s{8,}[^\n]*)*?),\n')


def norm(name):
    return re.sub("[_$-]", "", name).lower()


def short(path):
    """Module path of a message -> group.version (`core.v1`, `meta.v1`, `resource`)."""
    parts = path.split("/")
    if parts[0] == "apiextensions_apiserver":
        return ".".join(parts[-2:])
    if parts[0] == "api":
        return ".".join(parts[1:3])
    if parts[0] == "kube_aggregator":
        return ".".join(parts[-2:])
    return ".".join(parts[parts.index("meta"):]) if "meta" in parts else parts[-1]


def read_messages(root):
    """group.version.Name (as prost spells it) -> [(name, tag, shape, scalar or message)]."""
    out = {}
    for file in sorted(root.rglob("mod.rs")):
        rel = str(file.parent.relative_to(root))
        if not rel.startswith(HOMES):
            continue
        here = pathlib.PurePosixPath(rel)
        for m in re.finditer(r"pub struct (\w+) \{(?:\}|\n(.*?)^\})", file.read_text(), re.S | re.M):
            fields = []
            for f in TAG.finditer(m[2] or ""):
                args, ty = f["args"], " ".join(f["type"].split())
                tag = int(re.search(r'tag = "(\d+)"', args)[1])
                shape = "list" if "repeated" in args else ""
                if "btree_map" in args:
                    shape, value = "map", re.search(r'"string, (\w+)"', args)[1]
                    last = ty.rstrip(">, ").rsplit(",", 1)[1].strip()
                else:
                    value = re.match(r"\w+", args)[0]
                    last = re.sub(r"^.*<([^<>]*)[> ]*$", r"\1", ty).strip(" ,")
                if value == "message":
                    value = resolve(here, last)
                fields.append((f["name"], tag, shape, value))
            out[f"{short(rel)}.{m[1]}"] = fields
    return out


def resolve(here, path):
    """A Rust path such as `super::super::x::Y`, seen from module `here`, as a message name."""
    parts = path.split("::")
    while parts[0] == "super":
        here, parts = here.parent, parts[1:]
    for part in parts[:-1]:
        here = here / part
    return f"{short(str(here))}.{parts[-1]}"


def read_json_names(root):
    """normalised group.version.name -> (Name, {normalised: (json, required)})."""
    out = {}
    for file in sorted(root.rglob("*.rs")):
        rel = str(file.parent.relative_to(root))
        if not rel.startswith(HOMES):
            continue
        text = file.read_text()
        struct = re.search(r"^pub struct (\w+) \{\n(.*?)^\}", text, re.S | re.M)
        if not struct:
            if empty := re.search(r"^pub struct (\w+)\(pub crate::serde_json::Value\);", text, re.M):
                out[norm(f"{short(rel)}.{empty[1]}")] = (empty[1], {})
            continue
        required = {f[0] for f in re.findall(r"    pub (\w+): ([^\n]+),\n", struct[2])
                    if not f[1].startswith("Option<")}
        names = {}
        for json, rust in re.findall(r'"([^"]+)" => Field::Key_(\w+)', text):
            names[norm(json)] = (json, rust in required)
        out[norm(f"{short(rel)}.{struct[1]}")] = (struct[1], names)
    return out


def inlined_in(messages, title, message, spelled):
    """Names of the fields that a message has through others."""
    for name, _, _, value in messages[message]:
        if norm(name) in INLINE.get(title, ()):
            yield from (norm(n) for n, *_ in messages[value])
            yield from inlined_in(messages, spelled(value), value, spelled)


def main():
    registry = pathlib.Path(sys.argv[1])
    messages = read_messages(next(registry.glob("k8s-pb-*")) / "src")
    # k8s-pb is a release behind: what has become v1 since is as it was in v1beta1.
    for name, fields in list(messages.items()):
        if name.startswith(BECAME_V1):
            fields = [(n, tag, shape, value.replace(".v1beta1.", ".v1."))
                      for n, tag, shape, value in fields]
            messages.setdefault(name.replace(".v1beta1.", ".v1."), fields)
    names = read_json_names(next(registry.glob("k8s-openapi-*")) / "src" / "v1_36")
    by_norm = {norm(k): k for k in messages}

    def spelled(message):
        """The message name as Go spells it."""
        known = names.get(norm(message))
        return f"{message.rsplit('.', 1)[0]}.{known[0]}" if known else message

    inline_parent = {}
    for parent, fields in INLINE.items():
        for name, _, _, value in messages[by_norm[norm(parent)]]:
            if norm(name) in fields and norm(value) not in names:
                inline_parent[value] = parent

    todo, seen, missing = list(ROOTS), set(), []
    rows = {}
    while todo:
        message = by_norm[norm(todo.pop())]
        if message in seen:
            continue
        seen.add(message)
        title = spelled(message)
        _, known = names.get(norm(message)) or names[norm(inline_parent[message])]
        lines, used = [], set()
        for name, tag, shape, value in messages[message]:
            if norm(name) in INLINE.get(title, ()):
                todo.append(value)
                lines.append(f"+ {tag} {spelled(value)}")
                continue
            if norm(name) not in known:
                missing.append(f"{title}.{name}")
                continue
            json, required = known[norm(name)]
            used.add(norm(name))
            if "." in value and value not in SPECIAL:
                todo.append(value)
            key = (title, json)
            pointer = (not shape and value in ("string", "bool", "int32", "int64", "double")
                       and (json in POINTERS or key in POINTERS_IN) and key not in VALUES)
            ty = SPECIAL.get(value) or (spelled(value) if "." in value else value)
            ty = {"list": "[]", "map": "{}"}.get(shape, "*" if pointer else "") + ty
            extra = [MERGE.pop(f"{title}.{json}")] if f"{title}.{json}" in MERGE else []
            if (required or key in REQUIRED) and not pointer:
                extra.insert(0, "!")
            lines.append(" ".join([json, str(tag), ty, *extra]))
        if message not in inline_parent:
            for json in ("apiVersion", "kind"):
                if norm(json) in known and norm(json) not in used:
                    lines.append(f"{json} 0 string")
            inlined = set(inlined_in(messages, title, message, spelled))
            missing += [f"{title}.{j} (no tag)" for n, (j, _) in known.items()
                        if n not in used | inlined | {"apiversion", "kind"}]
        rows[title] = lines
    if missing or MERGE:
        print("no JSON name:", missing, "\nunused merge rows:", list(MERGE), file=sys.stderr)
    print("# Generated by api/tools/messages.py: fields of every message reached from the served kinds.")
    print("# message / name tag type [! required] [merge[=key]] [retain] [replace]; '+ tag message' is inlined.")
    for title in sorted(rows):
        print("\n".join([f"= {title}", *rows[title]]))


main()
