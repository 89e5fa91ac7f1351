// <model-viewer> would fetch these from public CDNs, and the page's policy would refuse it. The files that we show
// need none of them; if one ever does, its decoder is vendored here.
self.ModelViewerElement = {
  dracoDecoderLocation: "/static/vendor/decoders/",
  ktx2TranscoderLocation: "/static/vendor/decoders/",
  lottieLoaderLocation: "/static/vendor/decoders/",
};
