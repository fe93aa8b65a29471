//! HTTP: a target opens its routes to its sources, and nothing else to anybody.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds,
    world::{AppPod, PodOptions, SOON, end, last_line},
};

use crate::{
    foretold::{foretells, is_foretold},
    shop::Shop,
};

#[tokio::test]
async fn a_target_opens_its_routes_to_its_sources_until_it_is_withdrawn() -> Result<()> {
    let shop = Shop::open("routes").await?;
    without_a_target_nobody_gets_in(&shop).await?;
    a_target_opens_just_its_routes(&shop).await?;
    tricks_with_paths_open_nothing(&shop).await?;
    a_caller_cannot_pretend_to_be_another(&shop).await?;
    targets_add_up_and_each_opens_to_all_of_its_sources(&shop).await?;
    a_withdrawn_permission_holds_for_the_next_request(&shop).await?;
    a_deleted_target_opens_nothing(&shop).await
}

async fn without_a_target_nobody_gets_in(shop: &Shop) -> Result<()> {
    let answer = shop.expect(&shop.thief, 80, &["/books"], 403).await?;
    let body = answer["body"].as_str().unwrap_or_default();
    let named = [
        "spiffe://cluster.local/ns/routes/sa/thief",
        "GET /books at ",
        "port 8080 of the pod",
        "spiffe://cluster.local/ns/routes/sa/store",
        "no TrafficTarget in namespace routes",
        "none of the routes and ports",
    ];
    ensure!(body.ends_with('\n'), "a refusal is a line: {body:?}");
    for words in named {
        ensure!(body.contains(words), "the refusal does not say {words:?}: {body:?}");
    }
    let answer = shop.thief.call(shop.service, 93, &["/echo.Echo/Echo", "--grpc"]).await?;
    ensure!(answer["grpc_status"] == "7", "status 7 wanted, got {answer}");
    Ok(())
}

async fn a_target_opens_just_its_routes(shop: &Shop) -> Result<()> {
    let matches = json!([
        {"name": "books", "pathRegex": "/books", "methods": ["GET"]},
        {"name": "buy", "pathRegex": "/buy/[0-9]+", "methods": ["POST"], "headers": [{"x-client": "gold.*"}]},
        {"name": "metrics", "pathRegex": "/metrics", "methods": ["*"]},
        {"name": "echo", "pathRegex": "/echo.Echo/"},
        {"name": "unnamed-by-the-target", "pathRegex": "/secret"},
    ]);
    shop.routes("routes", matches).await?;
    let mut target = shop.target_object("reads", &["buyer"], &[("HTTPRouteGroup", "routes")]);
    target["spec"]["rules"][0]["matches"] = json!(["books", "buy", "metrics", "echo"]);
    shop.world.apply(&target).await?;
    shop.programmed("reads").await?;

    let gold = "x-client: golden";
    let cases: &[(&[&str], u16)] = &[
        (&["/books"], 200),
        (&["/books/1?by=title"], 200),
        (&["/bookshelf"], 200),
        (&["/books", "--http2"], 200),
        (&["/books", "--method", "POST"], 403),
        (&["/a/books"], 403),
        (&["/?/books"], 403),
        (&["/"], 403),
        (&["/secret"], 403),
        (&["/buy/12", "--method", "POST", "-H", gold], 200),
        (&["/buy/12", "--method", "GET", "-H", gold], 403),
        (&["/buy/twelve", "--method", "POST", "-H", gold], 403),
        (&["/buy/12", "--method", "POST"], 403),
        (&["/buy/12", "--method", "POST", "-H", "x-client: not golden"], 403),
        (&["/metrics", "--method", "DELETE"], 200),
    ];
    for (arguments, status) in cases {
        let answer = shop.expect(&shop.buyer, 80, arguments, *status).await?;
        is_foretold(shop, &shop.buyer, arguments, &answer)?;
    }
    let answer = shop.expect(&shop.thief, 80, &["/books"], 403).await?;
    is_foretold(shop, &shop.thief, &["/books"], &answer)?;
    let answer = shop.buyer.call(shop.service, 93, &["/echo.Echo/Echo", "--grpc"]).await?;
    ensure!(answer["grpc_status"] == "0" && answer["server"] == "store", "{answer}");
    Ok(())
}

/// Each of these leads to `/admin` for some server, and to an open route for some careless proxy.
async fn tricks_with_paths_open_nothing(shop: &Shop) -> Result<()> {
    let tricks = [
        "/metrics/../admin",
        "/metrics/./../admin",
        "/metrics/%2e%2e/admin",
        "/metrics/%2E%2E/admin",
        "/metrics/..//admin",
        "/metrics%2f..%2fadmin",
        "/metrics/..%2fadmin",
        "/metrics%5c..%5cadmin",
        "/metrics\\..\\admin",
        "//admin",
        "/./admin",
        "/%2fadmin",
        "/admin?/../metrics",
    ];
    for path in tricks {
        let answer = shop.buyer.call(shop.service, 80, &[path]).await?;
        let refused = answer["status"] == 403 || answer["status"] == 400;
        ensure!(refused && answer["server"] == "", "{path} is answered with {answer}");
        is_foretold(shop, &shop.buyer, &[path], &answer)?;
    }
    for path in [
        "/%62ooks%20x%2562%7e%3b%zz",
        "/Books",
        "/books;x=1",
        "/metrics/.",
        "/a/..;x/metrics",
        "/metrics/a|b{c}[d]",
        "/buy/../books?x=%2f",
        "/a%2e/books",
        "//books//x//",
    ] {
        foretells(shop, &shop.buyer, &[path]).await?;
    }
    // A path that needs tidying and then is an open one arrives tidied.
    let answer = shop.expect(&shop.buyer, 80, &["//a/../metrics/./x"], 200).await?;
    let seen: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    ensure!(seen["path"] == "/metrics/x", "the app saw {seen}");
    Ok(())
}

async fn a_caller_cannot_pretend_to_be_another(shop: &Shop) -> Result<()> {
    let forged = "x-forwarded-client-cert: By=spiffe://forged/by;URI=spiffe://forged/caller";
    let answer = shop.expect(&shop.buyer, 80, &["/books", "-H", forged], 200).await?;
    let seen: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    let told = seen["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
    ensure!(!told.contains("forged"), "the app saw {told:?}");
    ensure!(told.contains("spiffe://cluster.local/ns/routes/sa/buyer"), "the app saw {told:?}");
    shop.expect(
        &shop.thief,
        80,
        &["/books", "-H", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/routes/sa/buyer"],
        403,
    )
    .await?;
    Ok(())
}

async fn targets_add_up_and_each_opens_to_all_of_its_sources(shop: &Shop) -> Result<()> {
    let shared = |app| PodOptions { app, service_account: "shared", meshed: true };
    let (first, second) = tokio::try_join!(
        shop.world.pod_with("first", shared("first")),
        shop.world.pod_with("second", shared("second"))
    )?;
    shop.routes("returns", json!([{"name": "returns", "pathRegex": "/returns"}])).await?;
    shop.target("returns", &["thief", "shared"], &[("HTTPRouteGroup", "returns")]).await?;
    for caller in [&shop.thief, &first, &second] {
        shop.reached(caller).await?;
        shop.expect(caller, 80, &["/returns"], 200).await?;
        shop.expect(caller, 80, &["/books"], 403).await?;
    }
    shop.expect(&shop.buyer, 80, &["/returns"], 403).await?;
    shop.expect(&shop.buyer, 80, &["/books"], 200).await.map(drop)
}

fn number(sum: &Value, path: &str) -> u64 {
    sum.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

/// Also on connections that were open before.
async fn a_withdrawn_permission_holds_for_the_next_request(shop: &Shop) -> Result<()> {
    let address = std::net::SocketAddr::new(shop.service, 80).to_string();
    let load = shop.buyer.start(&["load", &address, "/books", "--rate", "100"])?;
    let sum_at = async |least: u64, path: &'static str| {
        eventually("so many answers", SOON, async || {
            let sum = last_line(&load)?;
            holds(number(&sum, path) >= least, || sum.to_string()).map(|()| sum)
        })
        .await
    };
    sum_at(50, "/by_status/200").await?;
    shop.target("reads", &["nobody"], &[("HTTPRouteGroup", "routes")]).await?;
    let turned = number(&last_line(&load)?, "/sent");
    // What was on its way when the status turned is counted by now.
    let settled = sum_at(turned + 50, "/sent").await?;
    sum_at(number(&settled, "/sent") + 50, "/sent").await?;
    let last = end(load).await?;
    let [before, after] = [&settled, &last].map(|sum| number(sum, "/by_status/200"));
    ensure!(before == after, "{} requests got in after the withdrawal: {last}", after - before);
    ensure!(number(&last, "/by_status/403") >= 50, "{last}");
    Ok(())
}

async fn a_deleted_target_opens_nothing(shop: &Shop) -> Result<()> {
    shop.expect(&shop.thief, 80, &["/returns"], 200).await?;
    shop.delete_target("returns").await?;
    is_refused(shop, &shop.thief, "/returns").await
}

async fn is_refused(shop: &Shop, caller: &AppPod, path: &str) -> Result<()> {
    eventually("refusal", SOON, async || shop.expect(caller, 80, &[path], 403).await).await.map(drop)
}
