module github.com/pdfmill/pdfmill/runner-py

go 1.26.0
