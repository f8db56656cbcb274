// Package sinks delivers a plane's events to the receivers that its configuration names: at least once, those of one key in
// their order, tried again until they are taken or given up. Where the events wait is the plane's own: an Outbox.
//
// It knows no pattern, and is imported by the planes that send.
package sinks
