// Package realtimegateway is the kind RealtimeGateway: its plan (pure) and how
// it is observed.
package realtimegateway
