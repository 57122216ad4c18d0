// Command queue asks whether a long queue costs its head anything. It fills a stock nats-server with page ranges, made and named as the validator does it,
// on the streams that `pdfmill topology apply` makes, and measures at each depth: how long the first message takes to get into somebody's hands and to be
// acknowledged, what an urgent one takes past all others, what publishing takes, making a consumer, and the looks that services take at the queue; memory of the server and of
// one replica of each service that works at the head; bytes on disk; and how long the server takes to start again, after it ended and after it was killed.
//
// The depths are of one queue that grows, in one run, so that they compare on whatever else the machine does meanwhile.
package main
