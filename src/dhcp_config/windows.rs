//! The DHCP server of Windows Server: commands for PowerShell.

use super::{Choice, NO_PROXY, Option175, Plan, hex};
use crate::boot::HardwareAddress;
use crate::dhcp::pxe::VendorOptions;

pub(super) fn text(plan: &Plan) -> String {
    let (kind, value) = match &plan.option_175 {
        Option175::Encapsulated => ("BinaryData", octets(&NO_PROXY)),
        Option175::Url(url) => ("String", format!("\"{url}\"")),
    };
    let mut text = format!(
        "# Policies of the whole server. For one scope: $scope = @{{ ScopeId = \"10.0.0.0\" }}\n\
         $scope = @{{}}\n\n\
         Add-DhcpServerv4OptionDefinition -OptionId 60 -Name \"Vendor class\" -Type String -ErrorAction SilentlyContinue\n\
         Add-DhcpServerv4OptionDefinition -OptionId 175 -Name \"iPXE\" -Type {kind} -ErrorAction SilentlyContinue\n\n\
         Add-DhcpServerv4Class -Name \"Pointsman iPXE\" -Type User -Data \"iPXE\"\n\
         Add-DhcpServerv4Policy @scope -Name \"Pointsman iPXE\" -Condition OR -UserClass EQ,\"Pointsman iPXE\" -ProcessingOrder 1\n",
    );
    let way_in = format!("\"{}\"", plan.way_in);
    text += &values("Pointsman iPXE", &[(66, format!("\"{}\"", plan.server)), (67, way_in), (175, value.clone())]);
    let mut order = 2;
    if plan.raspberry_pi {
        let macs =
            HardwareAddress::RASPBERRY_PI.map(|first| format!("EQ,\"{}*\"", hex(&first, "").to_uppercase())).join(",");
        text += &format!(
            "\nAdd-DhcpServerv4Policy @scope -Name \"Pointsman Raspberry Pi\" -Condition OR -MacAddress {macs} \
             -ProcessingOrder {order}\n"
        );
        let menu = octets(VendorOptions::RASPBERRY_PI);
        text += &values("Pointsman Raspberry Pi", &[(43, menu), (60, "\"PXEClient\"".into())]);
        order += 1;
    }
    for choice in &plan.choices {
        text += &by_architecture(plan, choice, order, &value);
        order += 1;
    }
    text
}

fn by_architecture(plan: &Plan, choice: &Choice, order: usize, url: &str) -> String {
    let name = format!("Pointsman {}", choice.name);
    let class = if choice.is_http { "HTTPClient" } else { "PXEClient" };
    let (mut text, mut conditions) = (String::from("\n"), Vec::new());
    for code in &choice.codes {
        let class_name = format!("{name} {code}");
        text +=
            &format!("Add-DhcpServerv4Class -Name \"{class_name}\" -Type Vendor -Data \"{class}:Arch:{code:05}\"\n");
        conditions.push(format!("EQ,\"{class_name}*\""));
    }
    text += &format!(
        "Add-DhcpServerv4Policy @scope -Name \"{name}\" -Condition OR -VendorClass {} -ProcessingOrder {order}\n",
        conditions.join(",")
    );
    let file = (67, format!("\"{}\"", choice.file));
    let mut options = match choice.is_http {
        true => vec![(60, "\"HTTPClient\"".to_owned()), file],
        false => vec![(66, format!("\"{}\"", plan.server)), file],
    };
    if !choice.is_http && matches!(plan.option_175, Option175::Url(_)) {
        options.push((175, url.to_owned()));
    }
    text + values(&name, &options).as_str()
}

fn values(policy: &str, options: &[(u8, String)]) -> String {
    let set = |(code, value): &(u8, String)| {
        format!("Set-DhcpServerv4OptionValue @scope -PolicyName \"{policy}\" -OptionId {code} -Value {value}\n")
    };
    options.iter().map(set).collect()
}

fn octets(octets: &[u8]) -> String {
    format!("([byte[]](0x{}))", hex(octets, ",0x"))
}
