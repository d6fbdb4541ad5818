// Package graph makes the map: who requires whom, what is unmet, what would
// break, and a picture of it.
//
// # What it is
//
// Three steps, each a pure function of the one before:
//
//	launchers, services --Build--> registry.Graph --Arrange--> Picture --SVG--> text
//	                                      |
//	                                      +--DOT--> text for Graphviz
//
// [Build] gathers launchers' requirements into edges between services, finds
// cycles, single points of failure and what the loss of each service would
// break. [Arrange] gives every node a place. The package asks nobody anything,
// keeps nothing, and starts no goroutine.
//
// # How a picture is arranged
//
// In layers from left to right: who requires stands left of what it requires, so
// that what everything rests on is at the right. After Sugiyama, Tagawa and Toda
// (1981), in these steps:
//
//	components  what is not connected is arranged apart, and put together at the end
//	acyclic     the few edges that close cycles are turned for the time being
//	layers      every node as close to what it needs as it can be; no column
//	            higher than the picture is wide
//	bundles     edges over several layers get a lane in each; those to the
//	            same node share theirs, so that a hundred edges to one database
//	            are one trunk with twigs
//	order       each layer is sorted by the medians of its neighbours, to and fro,
//	            and neighbours that cross less the other way change places; the
//	            order with the fewest crossings is kept
//	places      each layer's nodes as near to their neighbours' mean height as
//	            they can be without touching: a regression, solved exactly
//
// # Guarantees
//
//   - Equal graphs give equal pictures, byte for byte. What is in motion
//     (statuses, counts, whether a requirement is met) moves nothing: places
//     depend on names and on who requires whom alone.
//   - No two boxes overlap, no edge runs through a box, and every text fits into
//     its box; a long name is shortened in the middle, and whole in the tooltip.
//   - The time is bounded: passes are limited by the picture's size, and there is
//     no search. 200 services take a few milliseconds.
//   - A status is told by a shape and by words, never by a colour alone.
package graph
