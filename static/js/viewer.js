// <model-viewer> loads these decoders from public CDNs by default, which the content security policy of the page
// blocks. The files of the catalogue's models need none of them. If one ever does, its decoder is vendored here.
self.ModelViewerElement = {
  dracoDecoderLocation: "/static/vendor/decoders/",
  ktx2TranscoderLocation: "/static/vendor/decoders/",
  lottieLoaderLocation: "/static/vendor/decoders/",
};
