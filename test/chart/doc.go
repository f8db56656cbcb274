// Package chart tests what the chart carries besides templates against the code.
package chart
