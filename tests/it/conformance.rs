//! The conformance list: what a boot server must do on the wire, case by case, each with the tests that hold it.
//!
//! The numbers are those of the list that this server was made by: 1-40 proxyDHCP on port 67, 41-49 iPXE, 50-57 port 4011,
//! 58-61 option 43, 62-68 UEFI HTTP Boot, 69-92 TFTP, 93-94 Raspberry Pi, 95-101 HTTP and TLS, 102-105 robustness. A case
//! without a test says why.

use std::collections::BTreeSet;
use std::path::Path;

/// What holds a case.
enum Held {
    /// These tests, by the names of their functions.
    By(&'static [&'static str]),
    /// None, for this reason.
    Not(&'static str),
}

use Held::{By, Not};

const CASES: &[(u16, &str, Held)] = &[
    (
        1,
        "BIOS gets an OFFER with bit 3 and its file",
        By(&["a_bios_client_gets_an_offer_with_its_file_and_bit_3", "each_interface_is_answered_from_its_own_address"]),
    ),
    (
        2,
        "UEFI gets an OFFER without option 43",
        By(&["a_uefi_client_gets_an_offer_without_option_43_and_comes_to_4011"]),
    ),
    (3, "style pxe10", By(&["style_pxe10_gives_a_uefi_client_its_file_in_the_offer"])),
    (4, "no option 60: silence", By(&["a_discover_without_option_60_gets_silence"])),
    (5, "other vendor classes: silence", By(&["other_vendor_classes_get_silence"])),
    (6, "bare PXEClient with user class iPXE is iPXE", By(&["the_bare_class_with_user_class_ipxe_is_ipxe"])),
    (7, "PXEClient as a prefix", By(&["the_class_is_compared_as_a_prefix"])),
    (8, "REQUEST on 67: silence", By(&["a_request_on_67_gets_silence"])),
    (
        9,
        "REQUEST on 67 with a menu item",
        By(&["a_boot_item_may_be_asked_for_on_port_67_as_well", "a_line_that_no_menu_has_gets_silence"]),
    ),
    (10, "INFORM, RELEASE, DECLINE on 67: silence", By(&["inform_release_decline_and_bootp_on_67_get_silence"])),
    (
        11,
        "another server's OFFER: silence, and noted",
        By(&["another_servers_offer_gets_silence", "another_servers_broadcast_is_warned_of_once"]),
    ),
    (12, "short, foreign and cut packets", By(&["short_cut_off_and_foreign_packets_are_errors"])),
    (13, "no END", By(&["a_missing_end_is_tolerated"])),
    (14, "no option 93: that of option 60", By(&["without_option_93_the_architecture_is_that_of_option_60"])),
    (15, "option 93 of wrong length", By(&["an_option_93_of_wrong_length_is_left_out_and_hides_nothing"])),
    (16, "two architectures: the first", By(&["the_first_of_several_architectures_counts"])),
    (17, "architecture 9 is x64", By(&["architecture_9_runs_x64_files"])),
    (
        18,
        "option 97 echoed and shown in canonical form",
        By(&["the_machine_id_is_echoed_unchanged_and_shown_in_canonical_form"]),
    ),
    (19, "no machine id: still an OFFER", By(&["a_missing_short_or_zero_machine_id_is_no_identity_and_no_obstacle"])),
    (20, "option 97 matches the UUID of a rule", By(&["option_97_is_mixed_endian"])),
    (21, "fragments of an option are joined", By(&["fragments_are_joined_wherever_they_stand"])),
    (22, "user class in both forms", By(&["a_user_class_is_read_in_both_forms"])),
    (23, "option 61 echoed", By(&["the_client_identifier_is_echoed"])),
    (
        24,
        "relayed: to giaddr:67, option 82 last",
        By(&[
            "a_relayed_client_is_answered_through_its_relay",
            "a_bios_machine_behind_a_relay_agent_boots_the_image_of_the_script",
        ]),
    ),
    (
        25,
        "link selection is the subnet, giaddr the destination",
        By(&["a_relayed_client_is_answered_through_its_relay"]),
    ),
    (
        26,
        "server id override does not change option 54",
        By(&["a_server_identifier_override_does_not_change_option_54"]),
    ),
    (27, "no room for option 82", By(&["relay_information_without_room_is_left_out"])),
    (28, "option 57 = 576", By(&["a_maximum_message_size_of_576_bounds_the_reply_to_548_octets"])),
    (29, "overload", By(&["overloaded_fields_are_read_in_the_order_options_file_sname"])),
    (30, "a GUID in chaddr", By(&["a_guid_in_chaddr_is_copied"])),
    (31, "InfiniBand", By(&["infiniband_is_known_by_its_client_identifier"])),
    (
        32,
        "file names of 127 and 128 octets",
        By(&["a_file_name_of_127_octets_fits_the_header_and_a_longer_one_goes_to_option_67"]),
    ),
    (
        33,
        "no answer: no packet on either port",
        By(&[
            "an_ignored_client_gets_no_packet",
            "denied_firmware_and_ignored_clients_get_silence_but_denied_ipxe_is_told",
        ]),
    ),
    (
        34,
        "slow decisions",
        By(&["an_answer_that_takes_more_than_two_seconds_is_not_sent", "a_slow_decision_delays_nobody_else"]),
    ),
    (35, "two interfaces", By(&["each_interface_is_answered_from_its_own_address"])),
    (36, "an interface that is added", By(&["each_interface_is_answered_from_its_own_address"])),
    (37, "an address that changes", By(&["each_interface_is_answered_from_its_own_address"])),
    (38, "port 67 is taken", By(&["a_port_that_another_holds_is_named_with_its_holder"])),
    (
        39,
        "beside a DHCP server on the same host",
        By(&["beside_a_dhcp_server_broadcasts_reach_both_and_unicast_only_the_other"]),
    ),
    (
        40,
        "a flood of DISCOVERs",
        By(&[
            "after_a_flood_of_nonsense_a_client_is_served",
            "questions_beyond_the_limit_are_dropped_while_others_wait",
        ]),
    ),
    (41, "iPXE needs no 4011", By(&["ipxe_gets_its_url_with_priority_and_needs_no_4011"])),
    (
        42,
        "our URL beats the DHCP server's file name",
        By(&[
            "ipxe_takes_the_dhcp_server_s_file_unless_the_proxy_has_priority",
            "ipxe_gets_its_url_with_priority_and_needs_no_4011",
        ]),
    ),
    (
        43,
        "without priority the DHCP server's file wins",
        By(&["ipxe_takes_the_dhcp_server_s_file_unless_the_proxy_has_priority", "each_fault_is_told"]),
    ),
    (44, "https:// only where the build says HTTPS", By(&["a_uefi_machine_that_trusts_the_private_ca_boots_by_https"])),
    (
        45,
        "an old iPXE where the site wants HTTPS",
        Not(
            "iPXE without HTTPS is told http://; one that has HTTPS and is too old is told by `doctor`, and its handshake is logged",
        ),
    ),
    (46, "iPXE never gets a loader", By(&["ipxe_never_gets_a_loader", "ipxe_gets_no_packet_rather_than_a_loader"])),
    (
        47,
        "autoexec.ipxe is answered at once",
        By(&["a_uefi_machine_loads_ipxe_by_tftp_and_boots_the_image_of_the_script", "errors_say_what_is_wrong"]),
    ),
    (
        48,
        "no-pxedhcp is warned of",
        By(&["no_pxedhcp_in_a_dhcp_offer_is_warned_of", "ipxe_ignores_proxies_where_the_dhcp_server_says_so"]),
    ),
    (49, "a late answer", By(&["an_answer_that_takes_more_than_two_seconds_is_not_sent"])),
    (50, "EDK2 on 4011", By(&["a_uefi_request_is_acknowledged_to_where_it_came_from"])),
    (51, "iPXE on 4011", By(&["an_ipxe_request_that_names_us_is_acknowledged_to_port_68"])),
    (52, "4011: another server is meant", By(&["a_request_to_another_server_gets_silence"])),
    (53, "4011 without option 60", By(&["a_request_without_option_60_gets_silence"])),
    (
        54,
        "4011 with a menu item",
        By(&["a_boot_item_is_echoed_and_one_with_credentials_gets_silence", "a_line_that_no_menu_has_gets_silence"]),
    ),
    (55, "4011: an unknown client", By(&["an_ignored_client_gets_no_packet"])),
    (56, "INFORM on 4011", By(&["an_inform_is_answered_like_a_request"])),
    (57, "4011 from any port", By(&["the_reply_goes_to_whatever_port_asked"])),
    (
        58,
        "43.6 without bit 3 and without a menu",
        By(&[
            "discovery_without_bit_3_and_without_menu_is_refused",
            "uefi_takes_the_first_listed_server_for_tftp_and_stops_without_a_menu",
        ]),
    ),
    (59, "43.6 with bit 2 and without a list", By(&["bit_2_without_a_server_list_is_refused"])),
    (60, "a list beside bit 3", By(&["a_server_list_beside_bit_3_is_warned_of"])),
    (61, "a menu that is too long", By(&["a_menu_that_fits_no_option_is_refused"])),
    (
        62,
        "the OFFER of HTTP Boot",
        By(&[
            "http_boot_gets_a_url_in_option_67_and_the_header",
            "a_uefi_machine_loads_ipxe_by_http_boot_and_boots_the_image_of_the_script",
        ]),
    ),
    (
        63,
        "HTTP Boot without a loader for the architecture: silence",
        By(&["http_boot_without_a_loader_of_its_architecture_gets_silence"]),
    ),
    (64, "HEAD, length, exact type", By(&["head_answers_200_with_the_length_and_get_the_same_and_the_type_is_exact"])),
    (65, "Host without the port", By(&["a_request_whose_host_lacks_the_port_is_served"])),
    (66, "Range with If-Match", By(&["a_range_with_the_same_tag_is_206_and_a_changed_tag_is_412"])),
    (67, "no redirects", By(&["no_path_is_answered_with_a_redirect"])),
    (68, "types of .iso and .img", By(&["iso_and_img_have_their_efi_types"])),
    (
        69,
        "EDK2's probe, abort and transfer",
        By(&["edk2_probes_the_size_aborts_and_fetches_from_another_port", "answers_edk2_in_its_spelling_and_order"]),
    ),
    (70, "RRQ without options", By(&["without_options_the_transfer_starts_with_data_1_of_512"])),
    (71, "timeout", By(&["timeout_0_and_256_are_omitted_and_5_is_echoed"])),
    (72, "blksize", By(&["a_useless_blksize_is_omitted_and_a_large_one_is_clamped"])),
    (73, "unknown options", By(&["an_unknown_option_is_omitted"])),
    (74, "only unknown options", By(&["with_only_unknown_options_there_is_no_oack"])),
    (75, "an ACK within the window", By(&["an_ack_in_the_middle_of_a_window_is_followed_by_a_full_new_window"])),
    (76, "one block lost", By(&["one_lost_block_costs_edk2_two_windows_at_most"])),
    (77, "a storm of ACKs", By(&["a_storm_of_repeated_acks_causes_one_repetition_of_the_window"])),
    (
        78,
        "ACKs beyond the window and before its base",
        By(&["an_ack_beyond_the_window_or_older_than_the_base_is_ignored"]),
    ),
    (
        79,
        "a file of whole blocks",
        By(&["a_file_of_whole_blocks_ends_with_an_empty_one_and_an_empty_file_is_one_block"]),
    ),
    (80, "an empty file", By(&["a_file_of_whole_blocks_ends_with_an_empty_one_and_an_empty_file_is_one_block"])),
    (
        81,
        "100 MB: block numbers wrap",
        By(&[
            "a_hundred_megabytes_wrap_the_block_number_with_and_without_windows",
            "loss_around_the_wrap_is_repaired",
            "block_numbers_go_on_at_0_after_65535",
        ]),
    ),
    (82, "a lost OACK", By(&["a_repeated_request_gets_the_oack_again_from_the_same_port"])),
    (83, "parallel transfers of one host", By(&["a_hundred_clients_at_once_get_their_files"])),
    (84, "a foreign port", By(&["a_packet_from_a_foreign_port_gets_error_5_and_the_transfer_goes_on"])),
    (85, "Windows' spelling", By(&["windows_spelling_finds_the_file"])),
    (86, "paths that lead out", By(&["errors_say_what_is_wrong", "nothing_outside_the_root_is_read"])),
    (87, "names with junk behind them", By(&["a_name_without_terminator_or_with_junk_behind_it_is_served"])),
    (88, "WRQ, netascii, mail", By(&["errors_say_what_is_wrong"])),
    (89, "a missing file", By(&["errors_say_what_is_wrong"])),
    (90, "a missing final ACK", By(&["a_missing_final_ack_is_no_error"])),
    (91, "a silent client", By(&["a_silent_client_is_sent_to_ever_more_slowly_and_then_given_up"])),
    (92, "several addresses", By(&["the_answer_comes_from_the_address_that_was_asked"])),
    (93, "the OFFER for a Raspberry Pi", By(&["a_raspberry_pi_gets_the_text_that_it_looks_for"])),
    (
        94,
        "the files of a Raspberry Pi",
        By(&["servers_a_raspberry_pi_loads_its_own_files", "a_machine_has_its_own_files_first"]),
    ),
    (
        95,
        "status line, length, keep-alive, no encoding",
        By(&["the_status_line_has_a_reason_and_everything_a_length_and_the_connection_stays"]),
    ),
    (
        96,
        "503 with Retry-After, then 200",
        By(&["while_a_decision_is_pending_the_answer_is_503_with_retry_after_and_then_200"]),
    ),
    (97, "a client without elliptic curves", By(&["a_client_without_ecdhe_is_logged_as_too_old_with_its_address"])),
    (98, "a connection that ends without close_notify", By(&["a_client_that_closes_without_close_notify_is_no_error"])),
    (99, "no SNI, or an address in it", By(&["without_a_name_or_with_any_the_default_certificate_is_served"])),
    (
        100,
        "the chain",
        By(&["the_chain_is_leaf_and_root_and_has_nothing_that_ipxe_refuses", "what_the_private_ca_issues_is_good"]),
    ),
    (
        101,
        "real clients load by HTTPS from an address",
        By(&[
            "a_uefi_machine_that_trusts_the_private_ca_boots_by_https",
            "a_uefi_machine_with_the_ca_enrolled_boots_by_https_alone",
        ]),
    ),
    (
        102,
        "any octets are parsed or refused",
        By(&["any_bytes_parse_or_fail_without_panic", "any_offers_give_a_choice"]),
    ),
    (103, "a reply has 1472 octets at most", By(&["a_reply_never_exceeds_1472_octets"])),
    (
        104,
        "a rival proxy is warned of",
        By(&["a_rival_proxy_is_warned_of_with_its_address", "a_second_boot_server_is_told_with_its_address"]),
    ),
    (
        105,
        "option 60 on the DHCP server is warned of",
        By(&[
            "a_dhcp_server_that_sends_option_60_pxeclient_is_warned_of",
            "boot_options_that_are_left_on_the_dhcp_server_are_told",
        ]),
    ),
];

#[test]
fn every_case_has_a_test_that_exists_or_a_reason() {
    let numbers: Vec<u16> = CASES.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=105).collect::<Vec<u16>>());
    let there = functions();
    for (number, case, held) in CASES {
        match held {
            By(names) => {
                assert!(!names.is_empty(), "case {number}, {case}: no test");
                for name in *names {
                    assert!(there.contains(*name), "case {number}, {case}: there is no test `{name}`");
                }
            }
            Not(reason) => assert!(!reason.is_empty(), "case {number}, {case}: neither a test nor a reason"),
        }
    }
}

/// Every function of the source and of the tests.
fn functions() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests/it"), root.join("tests/firmware")];
    let mut files = vec![root.join("tests/dhcp_captures.rs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let name = |line: &str| {
        let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
        let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
        Some(name.to_owned())
    };
    files
        .iter()
        .flat_map(|file| std::fs::read_to_string(file).unwrap().lines().filter_map(name).collect::<Vec<_>>())
        .collect()
}
