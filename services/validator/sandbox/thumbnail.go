package sandbox

import (
	"bytes"
	"fmt"
	"image/png"

	"github.com/klippa-app/go-pdfium/requests"

	"github.com/pdfmill/pdfmill/pipeline/facts"
)

// maxThumbnail bounds the picture in bytes; a larger one is left out.
const maxThumbnail = 1 << 20

// pictured reports whether a page is worth a picture: one that takes long to draw, or much memory, is not.
func pictured(p *facts.Page) bool {
	const objects, pixels = 20_000, 40_000_000
	return p.Objects <= objects && p.Pixels <= pixels && p.Content < suspicious
}

// thumbnail draws the page that was kept for it in small; without one it says that there is no picture. The error is the sandbox's end.
func (l *look) thumbnail(page int) error {
	if l.front == "" {
		l.say(answer{Code: codeThumbnail})
		return nil
	}
	l.at = page
	drawn, err := l.instance.RenderPageInPixels(&requests.RenderPageInPixels{
		Page: requests.Page{ByReference: &l.front}, Width: l.question.Thumbnail, Height: l.question.Thumbnail, ImageFormat: requests.RenderImageFormatGrayscale,
	})
	if err != nil {
		return fmt.Errorf("draw page %d: %w", page, err)
	}
	defer drawn.Cleanup()
	var picture bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&picture, drawn.Result.RenderedImage); err != nil || picture.Len() > maxThumbnail {
		picture.Reset()
	}
	l.say(answer{Code: codeThumbnail, Thumbnail: picture.Bytes()})
	_, err = l.instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: l.front})
	return err
}
