// Package load is the clients of a realtime benchmark: followers that hold a
// connection open and count what comes, publishers, and pollers. They speak each
// server's protocol over raw connections, so that the clients cost little, and
// the same for either server.
package load
