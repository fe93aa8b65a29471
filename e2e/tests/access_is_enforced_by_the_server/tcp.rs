//! TCP: a target opens ports; a caller that it does not open them to is closed before the server could say a byte.

use anyhow::{Result, ensure};
use serde_json::json;
use smidge_e2e::{eventually, holds, world::SOON};

use crate::{foretold::verdict_is, shop::Shop};

#[tokio::test]
async fn a_target_opens_its_ports_and_the_others_receive_not_one_byte() -> Result<()> {
    let shop = Shop::open("ports").await?;
    without_a_target_not_one_byte_comes_back(&shop).await?;
    without_an_identity_not_one_byte_comes_back(&shop).await?;
    a_tcp_route_opens_its_ports_for_any_protocol(&shop).await?;
    routes_alone_open_every_http_port(&shop).await?;
    ports_narrow_routes(&shop).await?;
    a_route_without_ports_opens_every_port(&shop).await?;
    a_withdrawn_port_is_closed_to_the_next_connection(&shop).await
}

async fn without_a_target_not_one_byte_comes_back(shop: &Shop) -> Result<()> {
    shop.expect_nothing(&shop.thief, (shop.service, 90), "hello").await?;
    shop.expect_nothing(&shop.thief, (shop.service, 91), "").await?;
    shop.expect_nothing(&shop.thief, (shop.service, 91), "hello").await
}

async fn without_an_identity_not_one_byte_comes_back(shop: &Shop) -> Result<()> {
    let store = shop.store_ip();
    for (port, send) in [(8080, "GET / HTTP/1.1\r\nhost: store\r\n\r\n"), (9000, "hello"), (9100, ""), (9100, "hello")]
    {
        shop.expect_nothing(&shop.stranger, (store, port), send).await?;
    }
    refused_callers_are_counted_by_address_and_port(shop).await
}

/// The caller learns nothing but the end of its connection; whoever looks at the server's metrics sees who it was.
async fn refused_callers_are_counted_by_address_and_port(shop: &Shop) -> Result<()> {
    let caller = shop.stranger.pod.ips()[0];
    eventually("count of the refused", SOON, async || {
        let all = shop.counted("refused_connections_total").await?;
        let http = shop.counted(&format!("refused_callers_total.*{caller}.*8080")).await?;
        let banner = shop.counted(&format!("refused_callers_total.*{caller}.*9100")).await?;
        holds((all, http, banner) == (4, 1, 2), || format!("{all}: {http} by HTTP, {banner} at the banner"))
    })
    .await
}

async fn a_tcp_route_opens_its_ports_for_any_protocol(shop: &Shop) -> Result<()> {
    shop.ports("echo-and-any", &[9000, 8081]).await?;
    shop.target("opens", &["buyer"], &[("TCPRoute", "echo-and-any")]).await?;
    let echoed = shop.tcp(&shop.buyer, (shop.service, 90), "hello").await?;
    ensure!(echoed["received"] == "store:hello", "{echoed}");
    shop.expect(&shop.buyer, 92, &["/anything"], 200).await?;
    shop.expect(&shop.buyer, 80, &["/anything"], 403).await?;
    shop.expect_nothing(&shop.buyer, (shop.service, 91), "").await?;
    shop.expect_nothing(&shop.thief, (shop.service, 90), "hello").await?;
    verdict_is(shop, &shop.buyer, (9000, None), "permitted")?;
    verdict_is(shop, &shop.buyer, (8080, Some("/anything")), "forbidden")?;
    verdict_is(shop, &shop.buyer, (9100, None), "closed")?;
    verdict_is(shop, &shop.thief, (9000, None), "closed")
}

async fn routes_alone_open_every_http_port(shop: &Shop) -> Result<()> {
    shop.routes("books", json!([{"name": "books", "pathRegex": "/books"}])).await?;
    shop.target("opens", &["buyer"], &[("HTTPRouteGroup", "books")]).await?;
    for port in [80, 92] {
        shop.expect(&shop.buyer, port, &["/books"], 200).await?;
        shop.expect(&shop.buyer, port, &["/anything"], 403).await?;
    }
    shop.expect_nothing(&shop.buyer, (shop.service, 90), "hello").await?;
    shop.expect_nothing(&shop.buyer, (shop.service, 91), "").await
}

async fn ports_narrow_routes(shop: &Shop) -> Result<()> {
    shop.ports("http", &[8080, 9000]).await?;
    shop.target("opens", &["buyer"], &[("HTTPRouteGroup", "books"), ("TCPRoute", "http")]).await?;
    shop.expect(&shop.buyer, 80, &["/books"], 200).await?;
    shop.expect(&shop.buyer, 80, &["/anything"], 403).await?;
    shop.expect(&shop.buyer, 92, &["/books"], 403).await?;
    shop.expect_nothing(&shop.buyer, (shop.service, 90), "hello").await
}

async fn a_route_without_ports_opens_every_port(shop: &Shop) -> Result<()> {
    shop.ports("every", &[]).await?;
    shop.target("opens", &["buyer"], &[("TCPRoute", "every")]).await?;
    shop.expect(&shop.buyer, 80, &["/anything"], 200).await?;
    let greeted = shop.tcp(&shop.buyer, (shop.service, 91), "").await?;
    ensure!(greeted["received"] == "220 store ready\r\n", "{greeted}");
    Ok(())
}

async fn a_withdrawn_port_is_closed_to_the_next_connection(shop: &Shop) -> Result<()> {
    shop.target("opens", &["nobody"], &[("TCPRoute", "every")]).await?;
    shop.expect_nothing(&shop.buyer, (shop.service, 91), "").await?;
    shop.expect_nothing(&shop.buyer, (shop.service, 90), "hello").await
}
