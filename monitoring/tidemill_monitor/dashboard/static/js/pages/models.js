// Versions of the model: which serves, what each reached, where to read more.

import { get, mayOperate } from "../api.js";
import { h, icon } from "../dom.js";
import { figure, heldOut, named, time } from "../format.js";
import { start } from "../page.js";
import { card, command, empty, heading, outLink, table } from "../parts.js";

start({
  async load(signal) {
    return { models: await get("/v1/models", {}, signal) };
  },

  render({ models, status }) {
    const { champion } = status;
    const title = champion ? `Version ${champion.version} serves` : "No version serves yet";
    return {
      title,
      body: [
        heading({ eyebrow: "Models", title, lead: lead(champion), aside: reload() }),
        trouble(champion),
        card(
          { key: "versions", title: "Versions", wide: true },
          models.items.length ? versions(models.items, champion) : nothing(),
          models.items.length > 0 && live(champion),
          elsewhere({ ...status.links, ...models.links }),
        ),
      ],
    };
  },
});

const lead = (champion) =>
  champion
    ? [
        "It serves since ",
        time(champion.since),
        ". A challenger takes over only if it beats it on the same test rows; the monitor then loads it without dropping a request.",
      ]
    : "Run the pipeline once (tidemill run): the first registered model becomes the champion.";

const reload = () =>
  mayOperate() &&
  command({
    word: "Reload the champion",
    icon: "again",
    path: "/v1/models/reload",
    told: "Version {version} serves",
  });

const trouble = (champion) =>
  champion?.trouble &&
  h(
    "section",
    { class: "unready", "data-key": "trouble-model" },
    icon("suspected"),
    h(
      "div",
      {},
      h("h2", {}, "The newest champion could not be loaded"),
      h("p", {}, champion.trouble),
      champion.trouble_remedy && h("p", { class: "remedy" }, champion.trouble_remedy),
    ),
  );

/** The table's figures are of test rows alone, and of every class's probability. */
const live = ({ metric, held } = {}) =>
  typeof held === "number" &&
  h(
    "p",
    {},
    `Live windows are held to ${named(metric)} ${figure(held)}: what all held-out rows showed, measured as live rows are (of several classes the predicted one's probability alone is known).`,
  );

function versions(items, champion) {
  const metric = champion?.metric ?? items[0].metric;
  const figures = items.map((item) => heldOut(item.figures));
  const others = [...new Set(figures.flatMap(Object.keys))]
    .filter((name) => name !== metric && !name.startsWith("proof_"))
    .slice(0, 2);
  const shown = [metric, ...others].filter(Boolean);
  const proof = `proof_${metric}`;
  const proved = figures.some((own) => proof in own);
  const dated = items.some((item) => item.registered_at);
  const linked = items.some((item) => item.links?.mlflow);
  return table({
    caption: `Versions of the model, newest first; figures on test rows${proved ? ", proof: on live rows kept from learning" : ""}`,
    hideCaption: false,
    columns: [
      { name: "Version" },
      { name: "Role" },
      ...shown.map((name) => ({ name: named(name), number: true })),
      ...(proved ? [{ name: `${named(metric)}, proof`, number: true }] : []),
      ...(dated ? [{ name: "Registered" }] : []),
      ...(linked ? [{ name: "Read more" }] : []),
    ],
    keys: items.map((item) => `version-${item.version}`),
    rows: items.map((item, at) => [
      h("b", {}, `Version ${item.version}`),
      roles(item, champion),
      ...shown.map((name) => figure(figures[at][name])),
      ...(proved ? [figure(figures[at][proof])] : []),
      ...(dated ? [time(item.registered_at)] : []),
      ...(linked ? [outLink(item.links?.mlflow, "MLflow") ?? "–"] : []),
    ]),
  });
}

function roles(item, champion) {
  const names = new Set(item.aliases ?? []);
  const serves = item.serving ?? item.version === champion?.version;
  const marks = [...names].map((name) =>
    h(
      "span",
      { class: "badge", "data-tone": name === "champion" ? "good" : "drift" },
      icon(name === "champion" ? "crown" : "models"),
      name,
    ),
  );
  if (serves)
    marks.push(h("span", { class: "badge", "data-tone": "good" }, icon("done"), "serves"));
  return marks.length ? marks : "–";
}

const elsewhere = (links) =>
  h(
    "p",
    { class: "elsewhere" },
    outLink(links.mlflow, "The model in MLflow"),
    outLink(links.prefect, "Flow runs in Prefect"),
  );

const nothing = () =>
  empty({
    icon: "models",
    title: "Nothing is registered",
    text: "tidemill run trains and registers the first version.",
  });
