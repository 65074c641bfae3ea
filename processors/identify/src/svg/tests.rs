//! Artboards, scenes, words and refusals, on small files and on the shipped samples.

use super::*;

fn svg(attributes: &str, inner: &str) -> String {
    format!(r#"<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{inner}</svg>"#)
}

fn found(text: &str) -> Contents {
    identify(text, true, "folder/two-screens.svg", &IdentifySettings::default()).unwrap()
}

fn refused(text: &str) -> Refusal {
    identify(text, true, "a.svg", &IdentifySettings::default()).unwrap_err()
}

fn group(x: u32, inner: &str) -> String {
    format!(r#"<g transform="translate({x} 0)"><rect width="390" height="844" fill="white"/>{inner}<path/><path/></g>"#)
}

fn scene(contents: &Contents, index: usize) -> &str {
    let range = contents.frames[index].scene.clone().unwrap();
    std::str::from_utf8(&contents.scenes[range]).unwrap()
}

fn names(contents: &Contents) -> Vec<&str> {
    contents.frames.iter().map(|frame| frame.name.as_str()).collect()
}

#[test]
fn groups_with_a_background_are_artboards_with_scenes_of_their_own() {
    let defs = "<defs><linearGradient id='sky'/></defs><style>.a{fill:red}</style>";
    let (first, second) = (group(0, "<title>Cart</title><text>Pay now</text>"), group(450, "<text>Thanks</text>"));
    let text = svg(r#"width="840" height="844" viewBox="0 0 840 844" fill="blue""#, &format!("{defs}{first}{second}"));
    let contents = found(&text);
    assert_eq!(names(&contents), ["Cart", "two screens 2"]);
    assert_eq!(contents.frames[0].text, "Cart\nPay now");
    assert_eq!((contents.frames[1].width_px, contents.frames[1].height_px), (390, 844));

    let second = scene(&contents, 1);
    assert!(second.contains("Thanks") && !second.contains("Pay now"), "{second}");
    assert!(second.contains("id='sky'") && second.contains("fill:red") && second.contains("fill=\"blue\""), "{second}");
    let parsed = Document::parse(second).unwrap();
    assert_eq!(parsed.root_element().attribute("viewBox"), Some("450 0 390 844"));
    let tree = usvg::Tree::from_str(second, &usvg::Options::default()).unwrap();
    assert_eq!((tree.size().width(), tree.size().height()), (390.0, 844.0));
}

#[test]
fn nested_svgs_are_artboards_whatever_stands_beside_them() {
    let nested = |x: u32, id: &str| {
        format!(r#"<svg id="{id}" x="{x}" width="640" height="400"><rect/><rect/><text>{id}</text></svg>"#)
    };
    let text = svg(
        r#"width="1400" height="400""#,
        &format!("<title>Settings</title><text>canvas note</text>{}{}", nested(0, "appearance"), nested(700, "g12")),
    );
    let contents = found(&text);
    assert_eq!(names(&contents), ["appearance", "two screens 2"]);
    assert_eq!(contents.frames[0].text, "Settings\nappearance", "the file's title is above every artboard");
}

#[test]
fn cards_on_a_screen_are_one_picture() {
    let cards = [group(0, ""), group(450, "")].concat();
    let beside = svg(r#"width="840" height="900""#, &format!("<text>Prices</text>{cards}"));
    let overlapping = svg(r#"width="840" height="900""#, &[group(0, ""), group(200, "")].concat());
    let alone = svg(r#"width="840" height="900""#, &group(0, ""));
    for text in [beside, overlapping, alone] {
        let contents = found(&text);
        assert_eq!(names(&contents), ["two screens"]);
        assert_eq!(contents.frames[0].scene, None, "the file itself is the scene");
    }
    let on_ground = svg(r#"width="840" height="900""#, &format!("<rect width='840' height='900'/>{cards}"));
    assert_eq!(found(&on_ground).frames.len(), 2);
}

#[test]
fn what_is_not_selected_is_told_with_its_reason() {
    let odd = |x: u32, width: u32, height: u32| {
        let rest = "<path/><path/><path/>";
        format!(r#"<g transform="translate({x})"><rect width="{width}" height="{height}"/>{rest}</g>"#)
    };
    let few = r#"<g id="empty" transform="translate(9000)"><rect width="300" height="300"/></g>"#;
    let inner = [
        group(0, ""),
        odd(1_000, 100, 300),
        odd(2_000, 5_000, 900),
        odd(8_000, 130, 2_000),
        few.to_owned(),
        group(500, ""),
    ];
    let contents = found(&svg(r#"width="9900" height="2000""#, &inner.concat()));
    let reasons: Vec<String> = contents.cuts.iter().map(Cut::to_string).collect();
    assert_eq!(contents.frames.len(), 2);
    for (reason, word) in reasons.iter().zip(["below 120 px", "above 4096 px", "beyond 8:1", "fewer than 3 elements"]) {
        assert!(reason.contains(word), "{reason}");
    }
    assert!(reasons[3].contains("`empty`"), "{}", reasons[3]);
}

#[test]
fn frames_beyond_the_limit_are_counted() {
    let settings = IdentifySettings { frames_per_file: 3, ..IdentifySettings::default() };
    let inner: String = (0..5).map(|index| group(index * 400, "")).collect();
    let contents = identify(&svg(r#"width="2000" height="844""#, &inner), true, "a.svg", &settings).unwrap();
    assert_eq!(contents.frames.len(), 3);
    assert_eq!(contents.cuts, [Cut::Frames { left_out: 2, limit: 3 }]);
}

#[test]
fn words_are_those_that_are_shown() {
    let inner = r#"<title>Sign in</title><style>hidden-style</style><defs><text>hidden-defs</text></defs>
        <g style="fill:red; display : none"><text>hidden-layer</text></g><symbol><text>hidden-symbol</text></symbol>
        <text>Wel<tspan font-weight="700">come</tspan>
            back</text><text><tspan x="0" y="1">first line</tspan><tspan x="0" dy="20">second line</tspan></text>
        <flowRoot><flowRegion/><flowPara>one</flowPara><flowPara>two</flowPara></flowRoot>
        <g><g><a><text>Größe &amp; 設定</text></a></g></g>"#;
    let contents = found(&svg(r#"width="400" height="300""#, inner));
    assert_eq!(contents.frames[0].text, "Sign in\nWelcome back\nfirst line second line\none two\nGröße & 設定");
    assert_eq!(names(&contents), ["Sign in"]);
}

#[test]
fn names_that_tools_made_up_are_not_names() {
    let name_of = |attributes: &str| {
        let text = format!(r#"<g xmlns="{SVG}" xmlns:inkscape="i" {attributes}/>"#);
        words::name(Document::parse(&text).unwrap().root_element(), false)
    };
    assert_eq!(name_of(r#"id="g1234""#), None);
    assert_eq!(name_of(r#"id="layer-2""#), None);
    assert_eq!(name_of(r#"id="42""#), None);
    assert_eq!(name_of(r#"id="order-confirmation""#).as_deref(), Some("order confirmation"));
    assert_eq!(name_of(r#"id="g1" inkscape:label="Home screen""#).as_deref(), Some("Home screen"));
    assert_eq!(name_of(r#"id="g1" data-name="Cart""#).as_deref(), Some("Cart"));
}

#[test]
fn dangerous_and_damaged_files_are_refused_with_what_they_are() {
    let lol = |level: u32| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10));
    let laughs: String = (1..11).map(lol).collect();
    let bomb = format!("<!DOCTYPE svg [<!ENTITY l0 \"lol\">{laughs}]>{}", svg("", "<text>&l10;</text>"));
    assert_eq!(refused(&bomb).code(), "unsafe");
    let outside = format!("<!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>{}", svg("", "&x;"));
    assert_eq!(refused(&outside).code(), "unsafe");
    assert!(refused(&outside).to_string().contains("file:///etc/hostname"));
    assert_eq!(refused(&svg("width='9' height='9'", "<g>")).code(), "damaged");
    assert_eq!(refused("<svg width='9' height='9'/>").code(), "damaged");
    assert_eq!(
        refused(&svg("width='9' height='9'", &["<g>".repeat(1_200), "</g>".repeat(1_200)].concat())).code(),
        "too_large"
    );
}

#[test]
fn sizes_are_those_that_the_renderer_sees() {
    let size = |attributes: &str| {
        let contents = found(&svg(attributes, "<rect width='10' height='10'/>"));
        (contents.frames[0].width_px, contents.frames[0].height_px)
    };
    assert_eq!(size(r#"viewBox="0 0 200 100""#), (200, 100));
    assert_eq!(size(r#"width="1in" height="2in""#), (96, 192));
    assert_eq!(size(r#"width="400" viewBox="0 0 200 100""#), (400, 200));
    assert_eq!(size(r#"width="100000" height="100000""#), (100_000, 100_000));
}

#[test]
fn an_entity_that_is_declared_inside_is_kept_in_the_scenes() {
    let doctype = "<!DOCTYPE svg [<!ENTITY brand \"Fernlight\">]>";
    let text = format!(
        "{doctype}{}",
        svg(r#"width="840" height="844""#, &[group(0, "<text>&brand;</text>"), group(450, "")].concat())
    );
    let contents = found(&text);
    assert_eq!(contents.frames[0].text, "Fernlight");
    assert!(usvg::Tree::from_str(scene(&contents, 0), &usvg::Options::default()).is_ok());
}
