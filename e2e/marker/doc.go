// Package marker runs the whole pipeline with marker's real code, both generations: built binaries, the environments that `pdfmill engines install` makes, and
// weights and servers that stand in for the real ones (runner-py/tests/real_marker). It sends a corpus through, takes servers away, and breaks workers from
// inside PyTorch.
//
// Its tests have the build tag marker, because those environments are gigabytes: `make test-marker` installs them and runs the tests.
package marker
