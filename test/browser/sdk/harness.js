"use strict";
// Each client is one of the SDK's with one subscription. What its SDK tells is noted in its log, in that order.
const clients = {};

// follow starts a client; its options are those of Options in sdk.go.
function follow(name, {url, room, token, renew, since}) {
  const log = [], note = (type, more) => log.push({type, ...more});
  const getToken = renew ? async () => {
    note("getToken");
    return (await fetch("token?" + new URLSearchParams({client: name}))).text();
  } : null;
  const sdk = new Centrifuge(url, {token: token ?? "", getToken, minReconnectDelay: 100, maxReconnectDelay: 1000});
  sdk.on("connecting", e => note("connecting", {code: e.code, reason: e.reason}));
  sdk.on("connected", () => note("connected"));
  sdk.on("disconnected", e => note("disconnected", {code: e.code, reason: e.reason}));
  sdk.on("error", e => note("error", {code: e.error.code, reason: e.error.message}));
  const sub = sdk.newSubscription(room, {since});
  sub.on("subscribed", e => note("subscribed", {
    wasRecovering: e.wasRecovering, recovered: e.recovered, epoch: e.streamPosition?.epoch, offset: e.streamPosition?.offset,
  }));
  sub.on("unsubscribed", e => note("unsubscribed", {code: e.code, reason: e.reason}));
  sub.on("error", e => note("subscription error", {code: e.error.code, reason: e.error.message}));
  sub.on("publication", e => note("publication", {offset: e.offset, data: e.data}));
  sub.subscribe();
  sdk.connect();
  clients[name] = {sdk, sub, log};
}

// told is what a client noted from an index on.
const told = (name, from) => clients[name].log.slice(from);

// attempt makes what a call to the SDK ended with into plain data.
const attempt = promise => promise.then(value => ({value}), e => ({code: e.code, reason: e.message}));

const publish = (name, data) => attempt(clients[name].sub.publish(data));
const history = (name, options) => attempt(clients[name].sub.history(options));
const presence = name => attempt(clients[name].sub.presence());
const presenceStats = name => attempt(clients[name].sub.presenceStats());
const stop = name => clients[name].sdk.disconnect();
