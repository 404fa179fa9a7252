"""What a network has learnt: filters, maps, neighbours, attributions, each with its plot."""

from alexnet_keras.inspection.attribution import (
    Occlusion,
    grad_cam,
    integrated_gradients,
    occlusion_map,
)
from alexnet_keras.inspection.feature_space import (
    Embedding,
    Neighbors,
    embedding,
    features,
    nearest_neighbors,
)
from alexnet_keras.inspection.maps import feature_maps, first_filters
from alexnet_keras.inspection.patches import Patch, dead_units, strongest_patches
from alexnet_keras.inspection.plots_of_maps import (
    plot_dead_units,
    plot_feature_maps,
    plot_filters,
    plot_patches,
)
from alexnet_keras.inspection.plots_of_pictures import (
    plot_attributions,
    plot_embedding,
    plot_grad_cam,
    plot_neighbors,
    plot_occlusion,
)
from alexnet_keras.inspection.receptive_fields import ReceptiveField, receptive_field

__all__ = [
    "Embedding",
    "Neighbors",
    "Occlusion",
    "Patch",
    "ReceptiveField",
    "dead_units",
    "embedding",
    "feature_maps",
    "features",
    "first_filters",
    "grad_cam",
    "integrated_gradients",
    "nearest_neighbors",
    "occlusion_map",
    "plot_attributions",
    "plot_dead_units",
    "plot_embedding",
    "plot_feature_maps",
    "plot_filters",
    "plot_grad_cam",
    "plot_neighbors",
    "plot_occlusion",
    "plot_patches",
    "receptive_field",
    "strongest_patches",
]
