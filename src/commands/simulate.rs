//! `simulate`: the policy run forward, as a calendar, a table and a picture. Looks through read-only tiers, or at a file alone.

use super::{plan::read_inventory, planning};
use crate::{
    arguments::{Global, SimulateArguments},
    clock,
    exit::Exit,
    failure::{Because, Failure, Result},
    input, policy,
    render::{out, simulation, simulation_svg},
    wiring,
};
use jiff::{Timestamp, ToSpan};
use model::{DatabaseName, Inventory};
use planner::{
    forecast::{LostTier, Outage, Scenario},
    simulation::{Prices, Simulation, prices::BUILT_IN, simulate},
};
use policy_schema::Policy;
use std::{collections::BTreeSet, path::Path};

pub(crate) async fn run(arguments: SimulateArguments, global: &Global) -> Result<Exit> {
    if arguments.print_prices {
        out::data(BUILT_IN)?;
        return Ok(Exit::Done);
    }
    let (path, policy) = policy::load(global)?;
    let now = arguments.now.unwrap_or_else(clock::now);
    let only = arguments
        .databases
        .iter()
        .map(|name| planning::declared(&policy, name).map(|declared| declared.name.clone()))
        .collect::<Result<BTreeSet<DatabaseName>>>()?;
    let prices = match &arguments.prices {
        Some(file) => read_prices(file, &policy)?,
        None => Prices::built_in(),
    };
    let inventory = if arguments.from_nothing {
        Inventory::empty(now)
    } else if let Some(file) = &arguments.inventory {
        read_inventory(file)?
    } else {
        planning::look(global, &path, &policy, now, false)
            .await?
            .inventory
    };
    let scenario = scenario(&arguments, &policy, &inventory, now)?;
    let result = simulate(
        &policy,
        &inventory,
        &wiring::capabilities(&policy),
        &scenario,
        &prices,
        &only,
    );
    if let Some(file) = &arguments.svg {
        save(&simulation_svg::picture(&result, &policy), file)?;
    }
    if global.json {
        out::json(&result)?;
    } else {
        out::data(&simulation::text(&result, &policy, &scenario))?;
        say_where(&arguments, &result);
    }
    Ok(Exit::Done)
}

fn say_where(arguments: &SimulateArguments, result: &Simulation) {
    if let Some(file) = &arguments.svg {
        out::words(&format!("\nThe picture is in {}\n", file.display()));
    } else if result.databases.len() == 1 {
        out::words("\nAs a picture:  mainstay simulate … --svg FILE\n");
    }
}

fn scenario(
    arguments: &SimulateArguments,
    policy: &Policy,
    inventory: &Inventory,
    now: Timestamp,
) -> Result<Scenario> {
    let until = match arguments.until {
        Some(until) => until,
        None => now
            .to_zoned(policy.timezone.clone())
            .checked_add(i64::from(arguments.years).years())
            .map_or(Timestamp::MAX, |end| end.timestamp()),
    };
    if until <= now {
        return Err(Failure::new(
            "mainstay::simulate::past",
            format!("the simulation would end at {until}, before it begins at {now}"),
        )
        .help("give a later --until, or an earlier --now"));
    }
    let mut scenario = Scenario::undisturbed(now, until).with_measured_durations(inventory);
    scenario.failed_runs = arguments.failed_runs;
    scenario.growth_percent = arguments.growth;
    for (name, size) in &arguments.size {
        let declared = planning::declared(policy, name.as_str())?;
        scenario.sizes.insert(declared.name.clone(), *size);
    }
    for outage in &arguments.outage {
        if let Some(tier) = &outage.tier {
            planning::declared_tier(policy, tier.as_str())?;
        }
        scenario.outages.push(Outage {
            from: outage.from,
            until: outage.until,
            tier: outage.tier.clone(),
        });
    }
    for lost in &arguments.lose {
        scenario.lost_tiers.push(LostTier {
            at: lost.at,
            tier: planning::declared_tier(policy, lost.tier.as_str())?.clone(),
        });
    }
    Ok(scenario)
}

fn read_prices(file: &Path, policy: &Policy) -> Result<Prices> {
    let shown = file.display();
    let bytes = input::read(file).map_err(|error| {
        let because = Because(format!("cannot read the prices `{shown}`"), Box::new(error));
        Failure::from_error(
            "mainstay::simulate::prices-unreadable",
            Some("write one with `mainstay simulate --print-prices > prices.toml`".to_owned()),
            &because,
        )
    })?;
    let invalid = |why: String| {
        Failure::new(
            "mainstay::simulate::prices-invalid",
            format!("`{shown}` is not a usable price table: {why}"),
        )
        .help("`mainstay simulate --print-prices` shows one with every key")
    };
    let text = String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8".to_owned()))?;
    let prices = Prices::parse(&text).map_err(|findings| {
        let places = findings.iter().map(|found| {
            format!(
                "\n  {shown}:{}:{}: {}",
                found.line, found.column, found.message
            )
        });
        invalid(places.collect())
    })?;
    for name in prices.undeclared(policy) {
        out::words(&format!(
            "! {shown} has prices of `tier.{name}`, which the policy does not declare\n"
        ));
    }
    Ok(prices)
}

fn save(picture: &str, file: &Path) -> Result<()> {
    std::fs::write(file, picture).map_err(|error| {
        let because = Because(
            format!("cannot write the picture to `{}`", file.display()),
            Box::new(error),
        );
        Failure::from_error(
            "mainstay::simulate::unsaved",
            Some("check the folder, or name another file".to_owned()),
            &because,
        )
    })
}
