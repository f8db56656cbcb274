// Package chart tests what the chart carries besides templates, metrics and the fields of kinds, against the code and the pages that
// name them.
package chart
