"""A phone's camera: what the QR code in a picture says, read by the library that pages have."""

import base64
from typing import Any

from shared.runtime.pages import HERE, Pages

_PLACE = "https://camera.example"
_READ = """async picture => {
  const { decodeQR } = await import("/vendor/qr/decode.js");
  const image = new Image();
  image.src = picture;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const drawing = canvas.getContext("2d");
  drawing.drawImage(image, 0, 0);
  return decodeQR(drawing.getImageData(0, 0, image.width, image.height));
}"""


def read_code(browser: Any, picture: bytes) -> str:
    """The text of the code in a PNG, such as a screenshot; raises if there is none."""
    pages = Pages(HERE)

    def serve(route: Any) -> None:
        place = route.request.url.removeprefix(f"{_PLACE}/")
        if not place:
            route.fulfill(status=200, content_type="text/html", body="<title>Camera</title>")
            return
        found = pages.asset(place)
        route.fulfill(status=200, content_type=found.media_type, body=bytes(found.body))

    page = browser.new_page()
    try:
        page.route(f"{_PLACE}/**", serve)
        page.goto(f"{_PLACE}/")
        data = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        return str(page.evaluate(_READ, data))
    finally:
        page.close()
