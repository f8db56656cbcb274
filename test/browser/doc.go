// Package browser tests what runs in browsers, in a real Chromium against real
// plane processes: the pages to try rooms and uploads by hand, and the official
// JavaScript SDK of the Centrifuge protocol. `make test-browser` runs it.
//
// It knows the contract and the plane's configuration. A test waits for a
// condition, never for a time.
package browser
