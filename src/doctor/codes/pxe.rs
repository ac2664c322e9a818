//! The codes of PXE ROMs (Intel's list) and of EDK2, which took over some of them with meanings of its own.
//!
//! **Invariant**: data only.

use super::Code;

const fn row(
    codes: &'static [&'static str],
    means: &'static str,
    causes: &'static str,
    look_at: &'static str,
    check: &'static str,
) -> Code {
    Code { codes, means, causes, look_at, check }
}

/// The table, in the order of the codes.
pub const PXE: &[Code] = &[
    row(
        &["PXE-E00", "PXE-E01", "PXE-E02", "PXE-E03", "PXE-E04", "PXE-E06", "PXE-E08"],
        "the ROM cannot start",
        "memory, PCI resources, or another option ROM in the way",
        "the machine's setup and firmware update; the network has no part in it",
        "",
    ),
    row(
        &["PXE-E05"],
        "the boot file is larger than was said (UEFI); a damaged NIC ROM (BIOS)",
        "the file grew between the question for its size and the transfer",
        "whether the loader was replaced at that moment; start the machine again",
        "loaders",
    ),
    row(
        &["PXE-E07", "PXE-E09", "PXE-E12"],
        "the NIC does not work, memory is short, or there is no cable (UEFI)",
        "hardware, or a driver of the firmware",
        "cable, switch port, firmware update",
        "",
    ),
    row(
        &["PXE-E11"],
        "ARP timeout",
        "the address of the TFTP server is not on the machine's subnet, and there is no way to it",
        "the machine cannot reach the server's address: gateway, subnet, which address the server names",
        "tftp",
    ),
    row(
        &["PXE-E16"],
        "no valid offer (UEFI)",
        "no lease, or no boot data beside it: a rule said no, or the offer came too late or not at all",
        "the log: silence by a rule? no lease from the DHCP server? `pointsman probe` shows what is offered",
        "neighbors",
    ),
    row(
        &["PXE-E18"],
        "the server does not answer (UEFI)",
        "the request on port 4011 or the one by TFTP is lost, or a rule changed its mind between the two",
        "UDP 4011 and UDP 69 in the firewall",
        "boot-server",
    ),
    row(
        &["PXE-E21"],
        "boot cancelled (UEFI)",
        "option 43 of some server speaks of a menu and has none; or somebody pressed a key",
        "a key was pressed; or another server's menu: `pointsman probe`",
        "neighbors",
    ),
    row(
        &["PXE-E22", "PXE-E23"],
        "the port is closed, or TFTP refused the file (UEFI)",
        "no TFTP server at the address that was named; or the path is an old one",
        "the log; whether TFTP runs; an old offer of another server",
        "tftp",
    ),
    row(
        &["PXE-E32"],
        "TFTP open timeout",
        "the request does not arrive, or its answer is held back: transfers use ports of their own",
        "UDP 69 in the firewall, and the transfers' ports (`single_port`, `port_range`)",
        "tftp",
    ),
    row(
        &["PXE-E35"],
        "TFTP read timeout",
        "large blocks are lost on the way, or the firewall forgets the transfer",
        "the transfers' ports in the firewall; MTU on the way, `blksize_max = 1400`",
        "mtu",
    ),
    row(
        &["PXE-E36", "PXE-E3B"],
        "TFTP error, file not found",
        "the path is from an old offer or from another server's",
        "the log; an old offer of another server",
        "tftp",
    ),
    row(
        &["PXE-E38", "PXE-E39"],
        "the TFTP connection cannot be opened or read",
        "as PXE-E32 and PXE-E35",
        "UDP 69 and the transfers' ports in the firewall",
        "tftp",
    ),
    row(
        &["PXE-E3A", "PXE-E3F"],
        "TFTP packets of the wrong number or size",
        "something on the way changes packets, or an old ROM that cannot do what it asks for",
        "firmware update of the NIC; `blksize_max = 1456`",
        "mtu",
    ),
    row(
        &["PXE-E3C"],
        "TFTP access violation",
        "the path is not one of a boot that was allowed",
        "the log: was the machine denied after it had been offered the file?",
        "tftp",
    ),
    row(
        &["PXE-E51"],
        "no offers at all",
        "the DISCOVER does not arrive, or no answer comes back",
        "cable, VLAN, spanning tree (use edge ports), relay",
        "lease",
    ),
    row(
        &["PXE-E52"],
        "a proxy's offer, but no lease",
        "the DHCP server is down, has no free address, or is not reached",
        "the DHCP server's pool",
        "lease",
    ),
    row(
        &["PXE-E53"],
        "no boot file name",
        "the server that won names no file, or the one that names it is silent",
        "silence by a rule, and a DHCP server that names no file; is there a loader for the architecture?",
        "neighbors",
    ),
    row(
        &["PXE-E55"],
        "no answer on port 4011",
        "the firewall, or another service on that port; or a DHCP server that sends option 60 without being a boot server",
        "UDP 4011 in the firewall; another service on the port; option 60 on the DHCP server",
        "boot-server",
    ),
    row(
        &["PXE-E61"],
        "no link",
        "cable, switch port, or a port that takes long to come up",
        "cable; spanning tree and energy-efficient Ethernet on the switch",
        "",
    ),
    row(
        &["PXE-E74", "PXE-E77", "PXE-E78", "PXE-E7A", "PXE-E7B"],
        "menu and discovery lists",
        "option 43 of some server is incomplete, or the servers that it lists are silent",
        "another PXE server on the network: `pointsman probe` shows its option 43 and what is wrong with it",
        "neighbors",
    ),
    row(
        &["PXE-E79"],
        "boot file too large",
        "BIOS machines load into less than 640 kB",
        "an EFI loader for a BIOS machine: `[loaders.files]`",
        "loaders",
    ),
    row(&["PXE-E89"], "the boot image cannot be loaded", "what comes before this line", "the code before it", "tftp"),
    row(
        &["PXE-E98", "PXE-E99"],
        "unexpected network error",
        "packets are lost, or a transfer is flooded with repeats",
        "packet loss; `pointsman_tftp_packets_total{outcome=\"retransmitted\"}`",
        "mtu",
    ),
    row(
        &["PXE-EA0", "PXE-M0F"],
        "cancelled at the keyboard, or the ROM leaves",
        "a key was pressed; or what came before it",
        "the line before it",
        "",
    ),
    row(
        &["PXE-EC1", "PXE-EC3", "PXE-EC4", "PXE-EC5", "PXE-EC6", "PXE-EC8", "PXE-EC9"],
        "the ROM finds its own parts no more",
        "an option ROM that another one overwrote",
        "firmware update; boot order without the other ROMs",
        "",
    ),
];
