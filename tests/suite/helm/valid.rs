//! Every document is one that Kubernetes and the operators take: no field that nobody knows, and nothing left out.

use frameline_tests::helm::{documents, render, values};
use frameline_tests::kubernetes::{Summary, VERSIONS, validate};

use super::FILES;

#[test]
fn every_document_is_valid_for_every_version_of_kubernetes() {
    for name in FILES {
        let yaml = render(&[&values(name)], &[]).unwrap();
        let count = documents(&yaml).unwrap().len();
        for version in VERSIONS {
            let verdict = validate(&yaml, version).unwrap();
            let all = Summary { valid: count, invalid: 0, errors: 0, skipped: 0 };
            assert_eq!(verdict.summary, all, "{name} on {version}: {:#?}", verdict.resources);
        }
    }
}

#[test]
fn a_field_that_nobody_knows_is_seen_in_every_kind() {
    for (kind, from, to) in [
        ("Deployment", "serviceAccountName:", "serviceAcountName:"),
        ("ScaledObject", "cooldownPeriod:", "coolDownPeriod:"),
        ("TriggerAuthentication", "secretTargetRef:", "secretTargetRefs:"),
        ("KafkaTopic", "partitions:", "partition:"),
        ("PodMonitor", "podMetricsEndpoints:", "podMetricsEndpoint:"),
        ("PrometheusRule", "groups:", "group:"),
    ] {
        let yaml = render(&[&values("production")], &[]).unwrap();
        let document = yaml.split("\n---").find(|document| document.contains(&format!("\nkind: {kind}\n"))).unwrap();
        assert!(document.contains(from), "{document}");
        for version in VERSIONS {
            let verdict = validate(&document.replace(from, to), version).unwrap();
            assert_eq!((verdict.summary.invalid, verdict.summary.skipped), (1, 0), "{kind}: {:?}", verdict.resources);
        }
    }
}
