//! The conformance list: what a boot server must do on the wire, case by case, each with the tests that hold it.
//!
//! The numbers are those of the list that this server was made by: 1-40 proxyDHCP on port 67, 41-49 iPXE, 50-57 port 4011,
//! 58-61 option 43, 62-68 UEFI HTTP Boot, 69-92 TFTP, 93-94 Raspberry Pi, 95-101 HTTP and TLS, 102-105 robustness.

use std::collections::BTreeSet;
use std::path::Path;

/// Number, what it is about, and the functions of the tests that hold it.
const CASES: &[(u16, &str, &[&str])] = &[
    (
        1,
        "BIOS gets an OFFER with bit 3 and its file",
        &["a_bios_client_gets_an_offer_with_its_file_and_bit_3", "each_interface_is_answered_from_its_own_address"],
    ),
    (2, "UEFI gets an OFFER without option 43", &["a_uefi_client_gets_an_offer_without_option_43_and_comes_to_4011"]),
    (3, "style pxe10", &["style_pxe10_gives_a_uefi_client_its_file_in_the_offer"]),
    (4, "no option 60: silence", &["a_discover_without_option_60_gets_silence"]),
    (5, "other vendor classes: silence", &["other_vendor_classes_get_silence"]),
    (6, "bare PXEClient with user class iPXE is iPXE", &["the_bare_class_with_user_class_ipxe_is_ipxe"]),
    (7, "PXEClient as a prefix", &["the_class_is_compared_as_a_prefix"]),
    (8, "REQUEST on 67: silence", &["a_request_on_67_gets_silence"]),
    (
        9,
        "REQUEST on 67 with a menu item",
        &["a_boot_item_may_be_asked_for_on_port_67_as_well", "a_line_that_no_menu_has_gets_silence"],
    ),
    (10, "INFORM, RELEASE, DECLINE on 67: silence", &["inform_release_decline_and_bootp_on_67_get_silence"]),
    (
        11,
        "another server's OFFER: silence, and noted",
        &["another_servers_offer_gets_silence", "another_servers_broadcast_is_warned_of_once"],
    ),
    (12, "short, foreign and cut packets", &["short_cut_off_and_foreign_packets_are_errors"]),
    (13, "no END", &["a_missing_end_is_tolerated"]),
    (14, "no option 93: that of option 60", &["without_option_93_the_architecture_is_that_of_option_60"]),
    (15, "option 93 of wrong length", &["an_option_93_of_wrong_length_is_left_out_and_hides_nothing"]),
    (16, "two architectures: the first", &["the_first_of_several_architectures_counts"]),
    (17, "architecture 9 is x64", &["architecture_9_runs_x64_files"]),
    (
        18,
        "option 97 echoed and shown in canonical form",
        &["the_machine_id_is_echoed_unchanged_and_shown_in_canonical_form"],
    ),
    (19, "no machine id: still an OFFER", &["a_missing_short_or_zero_machine_id_is_no_identity_and_no_obstacle"]),
    (20, "option 97 matches the UUID of a rule", &["option_97_is_mixed_endian"]),
    (21, "fragments of an option are joined", &["fragments_are_joined_wherever_they_stand"]),
    (22, "user class in both forms", &["a_user_class_is_read_in_both_forms"]),
    (23, "option 61 echoed", &["the_client_identifier_is_echoed"]),
    (
        24,
        "relayed: to giaddr:67, option 82 last",
        &[
            "a_relayed_client_is_answered_through_its_relay",
            "a_bios_machine_behind_a_relay_agent_boots_the_image_of_the_script",
        ],
    ),
    (25, "link selection is the subnet, giaddr the destination", &["a_relayed_client_is_answered_through_its_relay"]),
    (26, "server id override does not change option 54", &["a_server_identifier_override_does_not_change_option_54"]),
    (27, "no room for option 82", &["relay_information_without_room_is_left_out"]),
    (28, "option 57 = 576", &["a_maximum_message_size_of_576_bounds_the_reply_to_548_octets"]),
    (29, "overload", &["overloaded_fields_are_read_in_the_order_options_file_sname"]),
    (30, "a GUID in chaddr", &["a_guid_in_chaddr_is_copied"]),
    (31, "InfiniBand", &["infiniband_is_known_by_its_client_identifier"]),
    (
        32,
        "file names of 127 and 128 octets",
        &["a_file_name_of_127_octets_fits_the_header_and_a_longer_one_goes_to_option_67"],
    ),
    (
        33,
        "no answer: no packet on either port",
        &[
            "an_ignored_client_gets_no_packet",
            "denied_firmware_and_ignored_clients_get_silence_but_denied_ipxe_is_told",
        ],
    ),
    (
        34,
        "slow decisions",
        &["an_answer_that_takes_more_than_two_seconds_is_not_sent", "a_slow_decision_delays_nobody_else"],
    ),
    (35, "two interfaces", &["each_interface_is_answered_from_its_own_address"]),
    (36, "an interface that is added", &["each_interface_is_answered_from_its_own_address"]),
    (37, "an address that changes", &["each_interface_is_answered_from_its_own_address"]),
    (38, "port 67 is taken", &["a_port_that_another_holds_is_named_with_its_holder"]),
    (
        39,
        "beside a DHCP server on the same host",
        &["beside_a_dhcp_server_broadcasts_reach_both_and_unicast_only_the_other"],
    ),
    (
        40,
        "a flood of DISCOVERs",
        &["after_a_flood_of_nonsense_a_client_is_served", "questions_beyond_the_limit_are_dropped_while_others_wait"],
    ),
    (41, "iPXE needs no 4011", &["ipxe_gets_its_url_with_priority_and_needs_no_4011"]),
    (
        42,
        "our URL beats the DHCP server's file name",
        &[
            "ipxe_takes_the_dhcp_server_s_file_unless_the_proxy_has_priority",
            "ipxe_gets_its_url_with_priority_and_needs_no_4011",
        ],
    ),
    (
        43,
        "without priority the DHCP server's file wins",
        &["ipxe_takes_the_dhcp_server_s_file_unless_the_proxy_has_priority", "each_fault_is_told"],
    ),
    (
        44,
        "https:// only where the build can speak it with us",
        &[
            "https_is_for_versions_that_can_speak_it_with_us",
            "what_speaks_our_https_is_told_by_feature_version_and_key",
            "a_uefi_machine_that_trusts_the_private_ca_boots_by_https",
        ],
    ),
    (
        45,
        "an old iPXE where the site wants HTTPS is given a newer one, once",
        &[
            "an_ipxe_too_old_for_https_is_given_a_newer_one_once",
            "who_cannot_be_helped_goes_on_as_it_is",
            "an_old_ipxe_rom_starts_the_server_s_ipxe_once_and_boots",
        ],
    ),
    (46, "iPXE never gets a loader", &["ipxe_never_gets_a_loader", "ipxe_gets_no_packet_rather_than_a_loader"]),
    (
        47,
        "autoexec.ipxe is answered at once",
        &[
            "a_file_that_is_not_there_is_an_error_within_ten_milliseconds",
            "a_uefi_machine_loads_ipxe_by_tftp_and_boots_the_image_of_the_script",
        ],
    ),
    (
        48,
        "no-pxedhcp is warned of",
        &["no_pxedhcp_in_a_dhcp_offer_is_warned_of", "ipxe_ignores_proxies_where_the_dhcp_server_says_so"],
    ),
    (
        49,
        "a late answer",
        &[
            "an_answer_that_takes_more_than_two_seconds_is_not_sent",
            "an_answer_that_comes_too_late_is_not_sent_and_told_in_the_log",
        ],
    ),
    (50, "EDK2 on 4011", &["a_uefi_request_is_acknowledged_to_where_it_came_from"]),
    (51, "iPXE on 4011", &["an_ipxe_request_that_names_us_is_acknowledged_to_port_68"]),
    (52, "4011: another server is meant", &["a_request_to_another_server_gets_silence"]),
    (53, "4011 without option 60", &["a_request_without_option_60_gets_silence"]),
    (
        54,
        "4011 with a menu item",
        &["a_boot_item_is_echoed_and_one_with_credentials_gets_silence", "a_line_that_no_menu_has_gets_silence"],
    ),
    (55, "4011: an unknown client", &["an_ignored_client_gets_no_packet"]),
    (56, "INFORM on 4011", &["an_inform_is_answered_like_a_request"]),
    (57, "4011 from any port", &["the_reply_goes_to_whatever_port_asked"]),
    (
        58,
        "43.6 without bit 3 and without a menu",
        &[
            "discovery_without_bit_3_and_without_menu_is_refused",
            "uefi_takes_the_first_listed_server_for_tftp_and_stops_without_a_menu",
        ],
    ),
    (59, "43.6 with bit 2 and without a list", &["bit_2_without_a_server_list_is_refused"]),
    (60, "a list beside bit 3", &["a_server_list_beside_bit_3_is_warned_of"]),
    (61, "a menu that is too long", &["a_menu_that_fits_no_option_is_refused"]),
    (
        62,
        "the OFFER of HTTP Boot",
        &[
            "http_boot_gets_a_url_in_option_67_and_the_header",
            "a_uefi_machine_loads_ipxe_by_http_boot_and_boots_the_image_of_the_script",
        ],
    ),
    (
        63,
        "HTTP Boot without a loader for the architecture: silence",
        &["http_boot_without_a_loader_of_its_architecture_gets_silence"],
    ),
    (64, "HEAD, length, exact type", &["head_answers_200_with_the_length_and_get_the_same_and_the_type_is_exact"]),
    (65, "Host without the port", &["a_request_whose_host_lacks_the_port_is_served"]),
    (66, "Range with If-Match", &["a_range_with_the_same_tag_is_206_and_a_changed_tag_is_412"]),
    (67, "no redirects", &["no_path_is_answered_with_a_redirect"]),
    (68, "types of .iso and .img", &["iso_and_img_have_their_efi_types"]),
    (
        69,
        "EDK2's probe, abort and transfer",
        &["edk2_probes_the_size_aborts_and_fetches_from_another_port", "answers_edk2_in_its_spelling_and_order"],
    ),
    (70, "RRQ without options", &["without_options_the_transfer_starts_with_data_1_of_512"]),
    (71, "timeout", &["timeout_0_and_256_are_omitted_and_5_is_echoed"]),
    (72, "blksize", &["a_useless_blksize_is_omitted_and_a_large_one_is_clamped"]),
    (73, "unknown options", &["an_unknown_option_is_omitted"]),
    (74, "only unknown options", &["with_only_unknown_options_there_is_no_oack"]),
    (75, "an ACK within the window", &["an_ack_in_the_middle_of_a_window_is_followed_by_a_full_new_window"]),
    (76, "one block lost", &["one_lost_block_costs_edk2_two_windows_at_most"]),
    (77, "a storm of ACKs", &["a_storm_of_repeated_acks_causes_one_repetition_of_the_window"]),
    (78, "ACKs beyond the window and before its base", &["an_ack_beyond_the_window_or_older_than_the_base_is_ignored"]),
    (79, "a file of whole blocks", &["a_file_of_whole_blocks_ends_with_an_empty_one_and_an_empty_file_is_one_block"]),
    (80, "an empty file", &["a_file_of_whole_blocks_ends_with_an_empty_one_and_an_empty_file_is_one_block"]),
    (
        81,
        "100 MB: block numbers wrap",
        &[
            "a_hundred_megabytes_wrap_the_block_number_with_and_without_windows",
            "loss_around_the_wrap_is_repaired",
            "block_numbers_go_on_at_0_after_65535",
        ],
    ),
    (82, "a lost OACK", &["a_repeated_request_gets_the_oack_again_from_the_same_port"]),
    (83, "parallel transfers of one host", &["a_hundred_clients_at_once_get_their_files"]),
    (84, "a foreign port", &["a_packet_from_a_foreign_port_gets_error_5_and_the_transfer_goes_on"]),
    (85, "Windows' spelling", &["windows_spelling_finds_the_file"]),
    (86, "paths that lead out", &["errors_say_what_is_wrong", "nothing_outside_the_root_is_read"]),
    (87, "names with junk behind them", &["a_name_without_terminator_or_with_junk_behind_it_is_served"]),
    (88, "WRQ, netascii, mail", &["errors_say_what_is_wrong"]),
    (
        89,
        "a missing file",
        &["a_file_that_is_not_there_is_an_error_within_ten_milliseconds", "errors_say_what_is_wrong"],
    ),
    (90, "a missing final ACK", &["a_missing_final_ack_is_no_error"]),
    (91, "a silent client", &["a_silent_client_is_sent_to_ever_more_slowly_and_then_given_up"]),
    (92, "several addresses", &["the_answer_comes_from_the_address_that_was_asked"]),
    (93, "the OFFER for a Raspberry Pi", &["a_raspberry_pi_gets_the_text_that_it_looks_for"]),
    (
        94,
        "the files of a Raspberry Pi",
        &["servers_a_raspberry_pi_loads_its_own_files", "a_machine_has_its_own_files_first"],
    ),
    (
        95,
        "status line, length, keep-alive, no encoding",
        &["the_status_line_has_a_reason_and_everything_a_length_and_the_connection_stays"],
    ),
    (
        96,
        "503 with Retry-After, then 200",
        &["while_a_decision_is_pending_the_answer_is_503_with_retry_after_and_then_200"],
    ),
    (97, "a client without elliptic curves", &["a_client_without_ecdhe_is_logged_as_too_old_with_its_address"]),
    (98, "a connection that ends without close_notify", &["a_client_that_closes_without_close_notify_is_no_error"]),
    (99, "no SNI, or an address in it", &["without_a_name_or_with_any_the_default_certificate_is_served"]),
    (
        100,
        "the chain",
        &["the_chain_is_leaf_and_root_and_has_nothing_that_ipxe_refuses", "what_the_private_ca_issues_is_good"],
    ),
    (
        101,
        "real clients load by HTTPS from an address",
        &[
            "a_uefi_machine_that_trusts_the_private_ca_boots_by_https",
            "a_uefi_machine_with_the_ca_enrolled_boots_by_https_alone",
        ],
    ),
    (102, "any octets are parsed or refused", &["any_bytes_parse_or_fail_without_panic", "any_offers_give_a_choice"]),
    (103, "a reply has 1472 octets at most", &["a_reply_never_exceeds_1472_octets"]),
    (
        104,
        "a rival proxy is warned of",
        &["a_rival_proxy_is_warned_of_with_its_address", "a_second_boot_server_is_told_with_its_address"],
    ),
    (
        105,
        "option 60 on the DHCP server is warned of",
        &[
            "a_dhcp_server_that_sends_option_60_pxeclient_is_warned_of",
            "boot_options_that_are_left_on_the_dhcp_server_are_told",
        ],
    ),
];

#[test]
fn every_case_has_a_test_that_exists() {
    let numbers: Vec<u16> = CASES.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=105).collect::<Vec<u16>>());
    let there = functions();
    for (number, case, names) in CASES {
        assert!(!names.is_empty(), "case {number}, {case}: no test");
        for name in *names {
            assert!(there.contains(*name), "case {number}, {case}: there is no test `{name}`");
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
