// Package conformance is the one suite that every engine behind the contract of a JobQueue has to pass. It speaks to
// running planes over HTTP and to nothing else, so the same suite serves planes in this process, in other processes
// and in a cluster.
//
// What clients and workers saw is recorded and checked against a model: every job that was acknowledged ends exactly
// once, no lease is given while another one counts, and the jobs of one ordering key run one at a time and in order.
package conformance
