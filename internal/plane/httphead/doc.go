// Package httphead takes the heads of HTTP/1.1 messages apart that are as nearly all are, in a fraction of the time that
// net/http needs. What it takes for plain, net/http takes for the same; of all else it says only that it is not plain, so
// that net/http can read it, or refuse it. Fuzz tests hold the two against each other.
//
// It imports nothing of the tree.
package httphead
