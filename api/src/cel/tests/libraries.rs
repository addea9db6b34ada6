//! The libraries of CEL and of Kubernetes.

use super::*;

#[test]
fn texts() {
    all_true(&[
        "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
        "'größe'.charAt(2) == 'ö' && 'abc'.charAt(3) == ''",
        "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7",
        "'hello mellow'.indexOf('x') == -1 && 'hello'.indexOf('') == 0",
        "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'tacoCät'.upperAscii() == 'TACOCäT'",
        "'hello hello'.replace('he', 'we') == 'wello wello'",
        "'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'hello'.replace('', '_') == '_h_e_l_l_o_'",
        "'a b c'.split(' ') == ['a', 'b', 'c'] && 'a b c'.split(' ', 2) == ['a', 'b c']",
        "'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc']",
        "'a b'.split(' ', 0) == []",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
        "' \\t x '.trim() == 'x'",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b'",
        "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
        "'%s is %d'.format(['a', 3]) == 'a is 3' && '%.2f%%'.format([1.5]) == '1.50%'",
        "'%x %X %b %o'.format([255, 255, 5, 8]) == 'ff FF 101 10' && '%e'.format([1000.0]) == '1.000000e+03'",
        "'%s %s'.format([[1, 2], {'k': 1}]) == '[1, 2] {k: 1}'",
        "'%s'.format([duration('1m30s')]) == '90s' && '%x'.format(['ab']) == '6162'",
    ]);
    all_fail(&[
        ("'abc'.charAt(9) == ''", "index out of range: 9"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        ("'%d'.format([]) == ''", "index 0 out of range"),
    ]);
}

#[test]
fn patterns() {
    all_true(&[
        "'abc123'.matches('^[a-z]+[0-9]+$') && matches('x', 'x')",
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]') == ''",
        "'123 abc 456'.findAll('[0-9]+') == ['123', '456']",
        "'123 abc 456'.findAll('[0-9]+', 1) == ['123'] && 'a'.findAll('a', 0) == []",
        "'a.b'.matches('a' + '[.]b')",
    ]);
    assert!(value("'a'.matches('(')").unwrap_err().contains("invalid matches argument"));
    assert!(value("'a'.matches('(' + '')").unwrap_err().contains("error parsing regexp"));
}

#[test]
fn lists_and_sets() {
    all_true(&[
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [].sum() == 0",
        "[3, 1, 2].min() == 1 && ['a', 'c', 'b'].max() == 'c'",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(5) == -1",
        "sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])",
        "!sets.contains([1], [2]) && sets.contains([], [])",
    ]);
    all_fail(&[("[].min() == 1", "min called on empty list")]);
}

#[test]
fn moments() {
    all_true(&[
        "duration('1h30m') == duration('90m') && duration('1.5s').getMilliseconds() == 1500",
        "duration('2h').getMinutes() == 120 && duration('-1s') < duration('0')",
        "timestamp('2024-02-29T12:30:45Z').getFullYear() == 2024",
        "timestamp('2024-02-29T12:30:45Z').getMonth() == 1",
        "timestamp('2024-02-29T12:30:45Z').getDate() == 29",
        "timestamp('2024-02-29T12:30:45Z').getDayOfMonth() == 28",
        "timestamp('2024-02-29T12:30:45Z').getDayOfWeek() == 4",
        "timestamp('2024-02-29T23:30:45Z').getHours('+02:00') == 1",
        "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60 && timestamp(60).getMinutes() == 1",
        "string(timestamp('2024-01-01T00:00:00Z')) == '2024-01-01T00:00:00Z'",
        "string(duration('1.5s')) == '1.5s'",
    ]);
}

#[test]
fn quantities() {
    all_true(&[
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').isLessThan(quantity('1'))",
        "quantity('1000m') == quantity('1') && quantity('1k').compareTo(quantity('1000')) == 0",
        "isQuantity('1.5Gi') && !isQuantity('200K') && quantity('-1').sign() == -1",
        "quantity('50k').add(quantity('1k')) == quantity('51k') && quantity('5').sub(2) == quantity('3')",
        "quantity('50k').asInteger() == 50000 && quantity('50k').isInteger()",
        "!quantity('1500m').isInteger() && quantity('1500m').asApproximateFloat() == 1.5",
    ]);
    all_fail(&[(
        "quantity('x').isInteger()",
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    )]);
}

#[test]
fn addresses() {
    all_true(&[
        "url('https://example.com:80/a/b?x=1&x=2&y=%20').getHost() == 'example.com:80'",
        "url('https://example.com:80/').getPort() == '80' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://e.com/a%20b').getEscapedPath() == '/a%20b' && url('/p').getScheme() == ''",
        "url('https://e.com/?x=1&x=2&y=%20').getQuery() == {'x': ['1', '2'], 'y': [' ']}",
        "isURL('https://a.b/c') && isURL('/abs') && !isURL('rel/path') && !isURL('../x')",
        "ip('192.168.0.1').family() == 4 && ip('::1').family() == 6 && ip('127.0.0.1').isLoopback()",
        "isIP('10.0.0.1') && !isIP('10.0.0.01') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%en0')",
        "ip.isCanonical('::1') && !ip.isCanonical('2001:DB8::1') && ip('0.0.0.0').isUnspecified()",
        "ip('169.254.1.1').isLinkLocalUnicast() && ip('8.8.8.8').isGlobalUnicast()",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR('10.0.0.0/8')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('::/0').prefixLength() == 0",
        "cidr('10.0.0.0/8').ip() == ip('10.0.0.0') && isCIDR('::/64') && !isCIDR('10.0.0.0/33')",
        "string(ip('::1')) == '::1' && string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
    ]);
}

#[test]
fn versions_and_formats() {
    all_true(&[
        "semver('1.2.3').major() == 1 && semver('1.2.3').isLessThan(semver('1.10.0'))",
        "semver('1.0.0-alpha').isLessThan(semver('1.0.0')) && semver('1.0.0-2') .isLessThan(semver('1.0.0-a'))",
        "isSemver('1.0.0+build') && !isSemver('1.0') && isSemver('v1.0', true) && !isSemver('01.0.0')",
        "semver('1.0.0').compareTo(semver('1.0.0+x')) == 0",
        "!format.dns1123Label().validate('my-name').hasValue()",
        "format.dns1123Label().validate('My_Name').value().size() == 1",
        "format.named('uuid').value().validate('x').hasValue()",
        "!format.named('nothing').hasValue()",
        "!format.date().validate('2024-01-01').hasValue() && format.datetime().validate('x').hasValue()",
    ]);
}

struct OnlyPods;

impl Authorizer for OnlyPods {
    fn check(&self, asked: &Attributes) -> Decision {
        let allowed = asked.resource == "pods" && asked.verb == "get" && asked.namespace == "ns";
        let who = asked.service_account.as_ref().map(|(a, b)| format!("{a}/{b}"));
        Decision { allowed, reason: who.unwrap_or_default(), error: None }
    }
}

#[test]
fn the_authorizer_is_asked() {
    let environment = Environment::admission(false, true);
    let mut variables = Variables::new();
    let check = |check| Value::Opaque(Opaque::Check(std::sync::Arc::new(check)));
    variables.set("authorizer", check(Check::authorizer()));
    let attributes =
        Attributes { resource: "pods".into(), namespace: "ns".into(), ..Default::default() };
    variables.set("authorizer.requestResource", check(Check::resource(attributes)));
    variables.set_authorizer(&OnlyPods);
    for expr in [
        "authorizer.group('').resource('pods').namespace('ns').check('get').allowed()",
        "!authorizer.group('').resource('pods').check('get').allowed()",
        "authorizer.requestResource.check('get').allowed()",
        "authorizer.serviceAccount('a', 'b').group('').resource('x').check('get').reason() == 'a/b'",
        "!authorizer.path('/healthz').check('get').errored()",
    ] {
        let program = Program::compile(expr, &environment).unwrap_or_else(|e| panic!("{e}"));
        let mut budget = Budget::new(RUNTIME_BUDGET);
        let value = program.eval(&variables, &mut budget);
        assert!(matches!(value, Ok(Value::Bool(true))), "{expr}: {value:?}");
    }
}

#[test]
fn declared_types_are_honoured() {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "min-size": {"type": "integer"}, "namespace": {"type": "string"},
            "share": {"type": "number"}, "port": {"x-kubernetes-int-or-string": true},
            "since": {"type": "string", "format": "date-time"},
            "wait": {"type": "string", "format": "duration"},
            "raw": {"type": "string", "format": "byte"},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "parts": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "n": {"type": "integer"}}}}}}}});
    let declared = Type::from_schema(&schema, true).unwrap();
    let environment =
        Environment::new().with("self", declared.clone()).with("oldSelf", declared.clone());
    let new = json!({"metadata": {"name": "x", "labels": {}}, "spec": {
        "min-size": 1, "namespace": "n", "share": 2, "port": "80%", "any": {"x": 1},
        "since": "2024-01-01T00:00:00Z", "wait": "90s", "raw": "YWI=", "tags": ["b", "a"],
        "parts": [{"name": "q", "n": 2}, {"name": "p", "n": 1}]}});
    let old = json!({"spec": {"tags": ["a", "b"],
        "parts": [{"name": "p", "n": 1}, {"name": "q", "n": 2}]}});
    let mut variables = Variables::new();
    variables.set("self", Value::from_json(&new, &declared));
    variables.set("oldSelf", Value::from_json(&old, &declared));
    for expr in [
        "self.spec.min__dash__size == 1 && self.spec.__namespace__ == 'n'",
        "self.spec.share == 2.0 && type(self.spec.share) == double",
        "type(self.spec.port) == string && self.spec.since.getFullYear() == 2024",
        "self.spec.wait == duration('1m30s') && self.spec.raw == b'ab'",
        "self.spec.tags == oldSelf.spec.tags && self.spec.parts == oldSelf.spec.parts",
        "(self.spec.tags + ['a', 'c']).size() == 3",
        "(self.spec.parts + oldSelf.spec.parts).size() == 2",
        "self.metadata.name == 'x' && !has(oldSelf.spec.share)",
    ] {
        let program = Program::compile(expr, &environment).unwrap_or_else(|e| panic!("{e}"));
        let value = program.eval(&variables, &mut Budget::new(RUNTIME_BUDGET));
        assert!(matches!(value, Ok(Value::Bool(true))), "{expr}: {value:?}");
    }
    for (expr, part) in [
        ("self.spec.gone == 1", "undefined field 'gone'"),
        ("self.metadata.labels.size() == 0", "undefined field 'labels'"),
        ("self.spec.any.x == 1", "undefined field 'x'"),
        ("self.spec.namespace == ''", "undefined field 'namespace'"),
        (
            "self.spec.share == 2",
            "found no matching overload for '_==_' applied to '(double, int)'",
        ),
    ] {
        let error = Program::compile(expr, &environment).unwrap_err().to_string();
        assert!(error.contains(part), "{expr}: {error}");
    }
}

#[test]
fn mutations_have_typed_literals() {
    let environment = Environment::admission(true, false).with_mutation();
    let compile = |expr: &str| Program::compile(expr, &environment);
    let program = compile(
        "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: Object.spec{replicas: 1 + 1, \
         ?paused: optional.none()}}",
    )
    .unwrap();
    let mut budget = Budget::new(RUNTIME_BUDGET);
    let made = program.eval(&Variables::new(), &mut budget).unwrap().to_json(&mut budget);
    assert_eq!(made.unwrap(), json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}}));
    let program =
        compile("[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('x/y'), value: 1}]")
            .unwrap();
    let made = program.eval(&Variables::new(), &mut budget).unwrap().to_json(&mut budget);
    assert_eq!(made.unwrap(), json!([{"op": "add", "path": "/a/x~1y", "value": 1}]));
    assert!(
        compile("JSONPatch{oops: 1}").unwrap_err().to_string().contains("undefined field 'oops'")
    );
    assert!(compile("Object{spec: Object.other{}}").is_err());
    assert!(value("Object{}").unwrap_err().contains("undeclared reference to 'Object'"));
}
