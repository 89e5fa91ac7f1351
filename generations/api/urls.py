"""URLs of the API resources of the generations app, below /api/. `config.api_urls` includes them."""

from django.urls import path, re_path

from generations.api import (
    batches,
    catalogue,
    credits,
    documentation,
    erasures,
    generations,
    infographics,
    keys,
    outputs,
    streams,
    uploads,
)

urlpatterns = [
    # The first that matches is taken, and these are requested most.
    path("v1/generations/", generations.GenerationsView.as_view(), name="generations"),
    path("v1/generations/<uuid:generation_id>/", generations.GenerationView.as_view(), name="generation"),
    path("v1/", documentation.IndexView.as_view(), name="index"),
    path("v1/models/", catalogue.ModelsView.as_view(), name="models"),
    path("v1/models/<str:slug>/", catalogue.ModelView.as_view(), name="model"),
    path("v1/quotes/", catalogue.QuotesView.as_view(), name="quotes"),
    path("v1/generations/<uuid:generation_id>/cancel/", generations.CancelView.as_view(), name="generation-cancel"),
    path("v1/generations/<uuid:generation_id>/retry/", generations.RetryView.as_view(), name="generation-retry"),
    path("v1/generations/<uuid:generation_id>/again/", generations.AgainView.as_view(), name="generation-again"),
    path("v1/generations/<uuid:generation_id>/events/", generations.EventsView.as_view(), name="generation-events"),
    path(
        "v1/generations/<uuid:generation_id>/stream/", streams.GenerationStreamView.as_view(), name="generation-stream"
    ),
    path("v1/generations/<uuid:generation_id>/erasure/", erasures.ErasureView.as_view(), name="generation-erasure"),
    path("v1/retention/", erasures.RetentionView.as_view(), name="retention"),
    path("v1/batches/", batches.BatchesView.as_view(), name="batches"),
    path("v1/batches/<uuid:batch_id>/", batches.BatchView.as_view(), name="batch"),
    path("v1/batches/<uuid:batch_id>/cancel/", batches.CancelBatchView.as_view(), name="batch-cancel"),
    path("v1/batches/<uuid:batch_id>/stream/", streams.BatchStreamView.as_view(), name="batch-stream"),
    path("v1/infographics/", infographics.InfographicsView.as_view(), name="infographics"),
    path("v1/outputs/<uuid:output_id>/content/", outputs.OutputContentView.as_view(), name="output-content"),
    path("v1/uploads/", uploads.UploadsView.as_view(), name="uploads"),
    path("v1/uploads/<uuid:upload_id>/", uploads.UploadView.as_view(), name="upload"),
    path("v1/uploads/<uuid:upload_id>/complete/", uploads.CompleteView.as_view(), name="upload-complete"),
    path("v1/uploads/<uuid:upload_id>/content/", uploads.UploadContentView.as_view(), name="upload-content"),
    path("v1/uploads/<uuid:upload_id>/thumbnail/", uploads.ThumbnailView.as_view(), name="upload-thumbnail"),
    path("v1/credits/", credits.CreditsView.as_view(), name="credits"),
    path("v1/credits/entries/", credits.EntriesView.as_view(), name="entries"),
    path("v1/keys/", keys.KeysView.as_view(), name="keys"),
    path("v1/keys/<uuid:key_id>/", keys.KeyView.as_view(), name="key"),
    path("v1/schema/", documentation.SchemaView.as_view(), name="schema"),
    path("v1/docs/", documentation.DocsView.as_view(), name="docs"),
    # Everything else below /api/, so it stays last.
    re_path("", documentation.UnknownView.as_view()),
]
