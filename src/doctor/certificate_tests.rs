//! Each rule, broken by one fact.

use super::super::State;
use super::super::tests::patient;
use super::*;

const NOW: i64 = 1_795_000_000;

fn root() -> CertificateFacts {
    CertificateFacts {
        subject: "root".into(),
        subject_der: vec![1],
        issuer_der: vec![1],
        key: KeyKind::Rsa(3072),
        signature: "sha256WithRSAEncryption".into(),
        is_common_signature: true,
        not_before: 631_152_000,
        not_after: 2_524_521_600,
        names: Vec::new(),
        addresses: Vec::new(),
        is_ca: true,
        signs_certificates: true,
        has_ocsp: false,
        unusual_critical: Vec::new(),
    }
}

fn leaf() -> CertificateFacts {
    CertificateFacts {
        subject: "leaf".into(),
        subject_der: vec![2],
        key: KeyKind::Rsa(2048),
        names: vec!["boot.example".into()],
        addresses: vec![IpAddr::from([10, 0, 0, 2])],
        is_ca: false,
        signs_certificates: false,
        ..root()
    }
}

fn judged(chain: &[CertificateFacts]) -> Found {
    let mut found = Found::default();
    judge(chain, &[IpAddr::from([10, 0, 0, 2])], &["Boot.example".to_owned()], NOW, &mut found);
    found
}

#[test]
fn a_good_chain_is_good_and_each_broken_rule_is_told() {
    assert_eq!(judged(&[leaf(), root()]).states(), [State::Ok]);
    let breaks = |change: &dyn Fn(&mut CertificateFacts), state: State, words: &str| {
        let mut leaf = leaf();
        change(&mut leaf);
        let found = judged(&[leaf, root()]);
        assert!(found.states() == [state] && found.words().contains(words), "{words}: {}", found.words());
    };
    breaks(&|leaf| leaf.key = KeyKind::Rsa(1024), State::Fail, "1024 bits");
    breaks(&|leaf| leaf.key = KeyKind::Ec(256), State::Warn, "2025-12-19");
    breaks(&|leaf| leaf.key = KeyKind::Other("Ed25519".into()), State::Fail, "no firmware");
    breaks(&|leaf| leaf.is_common_signature = false, State::Fail, "RSA-PSS");
    breaks(&|leaf| leaf.has_ocsp = true, State::Fail, "0216e9");
    breaks(&|leaf| leaf.unusual_critical = vec!["2.5.29.30".into()], State::Fail, "2.5.29.30");
    breaks(&|leaf| leaf.not_after = NOW - 1, State::Fail, "ended");
    breaks(&|leaf| leaf.not_after = NOW + 86_400, State::Warn, "ends");
    breaks(&|leaf| leaf.not_before = NOW + 1, State::Fail, "clock");
    breaks(&|leaf| leaf.not_before = NOW - 86_400, State::Warn, "battery");
    breaks(&|leaf| leaf.addresses.clear(), State::Warn, "10.0.0.2");
    breaks(&|leaf| leaf.names.clear(), State::Fail, "Boot.example");
    breaks(&|leaf| leaf.issuer_der = vec![9], State::Fail, "0216e1");
}

#[test]
fn a_chain_without_its_root_or_with_a_root_that_may_not_sign_is_told() {
    let alone = judged(&[leaf()]);
    assert!(alone.states() == [State::Fail] && alone.words().contains("0216eb"), "{}", alone.words());
    let mut weak = root();
    weak.signs_certificates = false;
    assert!(judged(&[leaf(), weak]).words().contains("no CA"));
    assert_eq!(judged(&[]).states(), [State::Fail]);
}

#[test]
fn what_the_private_ca_issues_is_good() {
    let (folder, patient) = patient("[server]\naddress = \"10.0.0.2\"\n[https]\nnames = [\"boot.example\"]");
    assert_eq!(certificate(&patient).states(), [State::Skipped], "nothing is made");
    let authority = crate::tls::ensure_ca(&folder.path().join("state")).unwrap();
    authority.identity(&["boot.example".to_owned()], &[IpAddr::from([10, 0, 0, 2])], Timestamp::now()).unwrap();
    let found = certificate(&patient);
    assert_eq!(found.states(), [State::Ok], "{}", found.words());
    std::fs::write(folder.path().join("state/server.pem"), "damaged").unwrap();
    assert_eq!(certificate(&patient).states(), [State::Fail]);
}
